from __future__ import annotations

from typing import TYPE_CHECKING

import letta_client
import pytest

from tests.end_to_end.models import AGENT_EMBEDDING
from tests.end_to_end.upstream_views import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx
    from letta_client import Letta
    from letta_client.types import AgentState, Folder

TEXT = b"The sky is blue. " * 40


@pytest.fixture
def folder(alice_letta: Letta, mark: str) -> Iterator[Folder]:
    folder = alice_letta.folders.create(name=mark, embedding=AGENT_EMBEDDING)
    yield folder
    alice_letta.folders.delete(folder.id)


def wait_until_read(letta: Letta, folder_id: str) -> list[str | None]:
    def statuses() -> list[str | None]:
        return [file.processing_status for file in letta.folders.files.list(folder_id)]

    def is_settled(statuses: list[str | None]) -> bool:
        return bool(statuses) and set(statuses) <= {"completed", "error"}

    return eventually(statuses, is_settled, seconds=60)


def test_reads_an_uploaded_file_and_gives_it_to_an_agent(
    alice_letta: Letta, agent: AgentState, folder: Folder
) -> None:
    uploaded = alice_letta.folders.files.upload(folder.id, file=("sky.txt", TEXT, "text/plain"))
    assert wait_until_read(alice_letta, folder.id) == ["completed"]

    alice_letta.agents.folders.attach(folder.id, agent_id=agent.id)

    assert [found.id for found in alice_letta.agents.folders.list(agent.id)] == [folder.id]
    files = [file.file_id for file in alice_letta.agents.files.list(agent.id)]
    assert files == [uploaded.id]


def test_passes_form_and_query_of_an_upload_on(alice_letta: Letta, folder: Folder) -> None:
    for _ in range(2):
        alice_letta.folders.files.upload(
            folder.id,
            file=("sky.txt", TEXT, "text/plain"),
            duplicate_handling="suffix",
            name="n.txt",
        )

    names = {file.file_name for file in alice_letta.folders.files.list(folder.id)}
    assert len(names) == 2
    assert wait_until_read(alice_letta, folder.id) == ["completed", "completed"]


def test_takes_an_upload_on_the_path_of_older_clients(
    alice_letta: Letta, alice_http: httpx.Client, folder: Folder
) -> None:
    answer = alice_http.post(
        f"/api/v1/letta/sources/{folder.id}/upload", files={"file": ("sky.txt", TEXT, "text/plain")}
    )

    assert answer.status_code == 200
    assert wait_until_read(alice_letta, folder.id) == ["completed"]


def test_refuses_a_kind_of_file_that_letta_can_not_read(alice_letta: Letta, folder: Folder) -> None:
    with pytest.raises(letta_client.APIStatusError) as caught:
        alice_letta.folders.files.upload(folder.id, file=("a.png", b"\x89PNG" + TEXT, "image/png"))

    assert caught.value.status_code == 415
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["code"] == "caller_media_type_unsupported"


def test_lists_updates_and_deletes_folders_and_files(alice_letta: Letta, mark: str) -> None:
    folder = alice_letta.folders.create(name=mark, embedding=AGENT_EMBEDDING)
    file = alice_letta.folders.files.upload(folder.id, file=("sky.txt", TEXT, "text/plain"))
    wait_until_read(alice_letta, folder.id)
    assert folder.id in {found.id for found in alice_letta.folders.list()}

    alice_letta.folders.update(folder.id, description="weather")
    assert alice_letta.folders.retrieve(folder.id).description == "weather"

    assert file.id is not None
    alice_letta.folders.files.delete(file.id, folder_id=folder.id)
    assert list(alice_letta.folders.files.list(folder.id)) == []

    alice_letta.folders.delete(folder.id)
    with pytest.raises(letta_client.NotFoundError):
        alice_letta.folders.retrieve(folder.id)
