"""The routes of the data plane: the one list that everything goes by which has to know them all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gateway_core.audit.events import CONTROL_ROUTE
from letta_proxy.proxy import ROUTE as LETTA
from llm_proxy.agent_proxy.address import without_secret
from llm_proxy.agent_proxy.proxy import ROUTE as AGENTS
from llm_proxy.proxy import ROUTE as LLM

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway_core.asgi import Application
    from gateway_core.proxy.exchange import Route


def _as_it_is(application: Application) -> Application:
    return application


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A route, and how the gateway has it.

    Attributes:
        upstream: the name of what it leads to.
        paths: what is its, as a pattern of the path without the first slash.
        about: what the description of the API says of it.
        security: how callers sign in, as OpenAPI names it.
        wrap: put around it.
    """

    route: Route
    upstream: str
    paths: str
    about: str
    security: tuple[dict[str, Any], ...] = ({"supabase": []}, {"api_key": []})
    wrap: Callable[[Application], Application] = _as_it_is


ROUTES: Final = (
    Mount(
        route=LLM,
        upstream="litellm",
        paths=r"^api/v1/llm/(?!keys(?:/|$))",
        about="The OpenAI API, answered by LiteLLM with the caller's own virtual key.",
    ),
    Mount(
        route=LETTA,
        upstream="letta",
        paths=r"^api/v1/letta/",
        about="Letta's V1 API, within the caller's own organization.",
    ),
    Mount(
        route=AGENTS,
        upstream="litellm",
        paths=r"^api/v1/agents/[^/]+/proxy(?:/|$)",
        about=(
            "Where agents call their models, on the budget of their user. For the Letta server "
            "alone, which has a secret for each user: as Bearer, or in the path after /proxy."
        ),
        security=({"agent": []},),
        wrap=without_secret,
    ),
)


def names() -> tuple[str, ...]:
    """Return the names that requests are recorded under, the control plane's first."""
    return (CONTROL_ROUTE, *(mount.route.name for mount in ROUTES))


def prefix_of(upstream: str) -> str:
    """Return the beginning of the paths that lead callers to an upstream."""
    mount = next(mount for mount in ROUTES if mount.upstream == upstream)
    return min(mount.route.prefixes, key=len)
