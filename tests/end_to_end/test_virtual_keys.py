from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.models import PRICE_OF_A_CALL, PRICED, say
from tests.end_to_end.upstream_views import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    import openai

    from tests.end_to_end.people import Clients, Person
    from tests.end_to_end.upstream_views import LiteLLMAdmin

CALLS = 50


async def test_makes_one_key_and_one_user_when_50_first_requests_come_at_once(
    clients: Clients, new_person: Callable[[str], Person], litellm_admin: LiteLLMAdmin
) -> None:
    carol = new_person("carol")

    async with clients.async_openai(carol) as client:
        answers = await asyncio.gather(
            *(
                client.chat.completions.create(model=PRICED, messages=say("hi"))
                for _ in range(CALLS)
            )
        )

    assert {answer.choices[0].message.content for answer in answers} == {"Hello from the stub."}
    (key,) = litellm_admin.keys_of(carol.id)
    assert key["user_id"] == litellm_admin.user(carol.id)["user_id"] == carol.id


def test_gives_the_key_to_model_calls_only(
    openai_client: Callable[[Person], openai.OpenAI],
    new_person: Callable[[str], Person],
    litellm_admin: LiteLLMAdmin,
) -> None:
    carol = new_person("carol")
    openai_client(carol).models.list()

    (key,) = litellm_admin.keys_of(carol.id)
    assert key["allowed_routes"] == ["llm_api_routes"]


def test_charges_a_user_for_exactly_their_calls(
    openai_client: Callable[[Person], openai.OpenAI],
    new_person: Callable[[str], Person],
    litellm_admin: LiteLLMAdmin,
) -> None:
    carol, dave = new_person("carol"), new_person("dave")
    for _ in range(3):
        openai_client(carol).chat.completions.create(model=PRICED, messages=say("hi"))
    openai_client(dave).chat.completions.create(model=PRICED, messages=say("hi"))
    list(
        openai_client(dave).chat.completions.create(
            model=PRICED, messages=say("hi"), stream=True, stream_options={"include_usage": True}
        )
    )

    def spent() -> tuple[float, float]:
        return litellm_admin.user(carol.id)["spend"], litellm_admin.user(dave.id)["spend"]

    expected = pytest.approx((3 * PRICE_OF_A_CALL, 2 * PRICE_OF_A_CALL))
    assert eventually(spent, lambda seen: seen == expected) == expected
