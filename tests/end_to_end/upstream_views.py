"""What tests see behind the gateway's back: LiteLLM as its administrator, the stubs' logs."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_SCRIPT = Path(__file__).resolve().parents[1] / "upstreams" / "upstreams.sh"


@dataclass(frozen=True, slots=True)
class Upstreams:
    """Addresses and credentials of the real upstreams, as the gateway's settings name them."""

    settings: dict[str, str]
    model_stub_url: str
    fast_stub_url: str


def running_upstreams() -> Upstreams:
    """Return the upstreams that ``make upstreams`` has started.

    Raises:
        RuntimeError: not all of them run.
    """
    state = subprocess.run([_SCRIPT, "status"], check=False, capture_output=True, text=True)
    if state.returncode:
        raise RuntimeError(f"Run `make upstreams` first.\n{state.stdout}{state.stderr}")
    lines = subprocess.run([_SCRIPT, "env"], check=True, capture_output=True, text=True).stdout
    values = dict(line.removeprefix("export ").split("=", 1) for line in lines.splitlines())
    model_stub_url, fast_stub_url = values.pop("MODEL_STUB_URL"), values.pop("FAST_STUB_URL")
    return Upstreams(values, model_stub_url, fast_stub_url)


@dataclass(frozen=True, slots=True)
class StubLog:
    """What reached a model stub."""

    url: str

    def find(self, mark: str) -> dict[str, Any]:
        """Return the one request that holds ``mark`` in its text.

        Raises:
            LookupError: none does, or several.
        """
        entries = httpx.get(f"{self.url}/log").raise_for_status().json()
        found = [entry for entry in entries if mark in entry.get("body", entry.get("text", ""))]
        if len(found) != 1:
            raise LookupError(f"{len(found)} requests hold {mark}")
        entry: dict[str, Any] = found[0]
        return entry


class LiteLLMAdmin:
    """LiteLLM with its master key."""

    def __init__(self, upstreams: Upstreams) -> None:
        key = upstreams.settings["LITELLM_MASTER_KEY"]
        self._http = httpx.Client(
            base_url=upstreams.settings["LITELLM_BASE_URL"],
            headers={"authorization": f"Bearer {key}"},
            timeout=30,
        )

    def keys_of(self, user_id: str) -> list[dict[str, Any]]:
        """Return all virtual keys of a LiteLLM user."""
        query: dict[str, str | int] = {
            "user_id": user_id,
            "return_full_object": "true",
            "size": 100,
        }
        answer = self._http.get("/key/list", params=query).raise_for_status().json()
        keys: list[dict[str, Any]] = answer["keys"]
        return keys

    def user(self, user_id: str) -> dict[str, Any]:
        """Return a LiteLLM user with spend, limits and metadata."""
        answer = self._http.get("/user/info", params={"user_id": user_id}).raise_for_status()
        user: dict[str, Any] = answer.json()["user_info"]
        return user

    def spend_log(self, request_id: str) -> dict[str, Any]:
        """Return LiteLLM's own record of a call, which it writes within some seconds."""
        query = {"request_id": request_id}

        def read() -> list[dict[str, Any]]:
            rows: list[dict[str, Any]] = self._http.get("/spend/logs", params=query).json()
            return rows

        return eventually(read, bool)[0]

    def spend_logs_of(self, user_id: str) -> list[dict[str, Any]]:
        """Return LiteLLM's records of a user's calls so far."""
        rows: list[dict[str, Any]] = self._http.get(
            "/spend/logs", params={"user_id": user_id}
        ).json()
        return rows

    def change_key(self, token_hash: str, **limits: Any) -> None:
        """Change what a virtual key may do."""
        self._http.post("/key/update", json={"key": token_hash, **limits}).raise_for_status()

    def delete_key(self, token_hash: str) -> None:
        """Delete a virtual key behind the gateway's back."""
        self._http.post("/key/delete", json={"keys": [token_hash]}).raise_for_status()

    def delete_user(self, user_id: str) -> None:
        """Delete a user and all keys of theirs behind the gateway's back."""
        self._http.post("/user/delete", json={"user_ids": [user_id]}).raise_for_status()

    def all_keys(self) -> list[str]:
        """Return the hashes of everybody's virtual keys."""
        keys: list[str] = []
        number = pages = 1
        while number <= pages:
            query = {"page": number, "size": 100}
            page = self._http.get("/key/list", params=query).raise_for_status().json()
            keys += page["keys"]
            pages, number = page["total_pages"], number + 1
        return keys

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


class LettaAdmin:
    """Letta with its password, in anybody's name."""

    def __init__(self, upstreams: Upstreams) -> None:
        self._http = httpx.Client(
            base_url=upstreams.settings["LETTA_BASE_URL"],
            headers={"authorization": f"Bearer {upstreams.settings['LETTA_API_KEY']}"},
            limits=httpx.Limits(max_keepalive_connections=0),
            timeout=30,
        )

    def get(self, path: str, user_id: str) -> Any:
        """Return what Letta shows to the user who stands for a user of the gateway."""
        headers = {"user_id": self._letta_user(user_id)}
        return self._http.get(path, headers=headers).raise_for_status().json()

    def _letta_user(self, user_id: str) -> str:
        query: dict[str, str | int] = {"limit": 200}
        while True:
            page = self._http.get("/v1/admin/users/", params=query).raise_for_status().json()
            for user in page:
                if user["name"] == f"gw:{user_id}":
                    return str(user["id"])
            query["after"] = page[-1]["id"]

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


def eventually(read: Callable[[], T], is_right: Callable[[T], object], seconds: float = 15) -> T:
    """Read until it is right, and return the last that was read, right or not."""
    deadline = time.monotonic() + seconds
    while not is_right(value := read()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return value
