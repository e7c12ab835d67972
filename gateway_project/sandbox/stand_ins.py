"""The upstreams that can be stood in for, and what the gateway must know of each stand-in."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway_project.sandbox import ams, letta, litellm, supabase
from gateway_project.sandbox.engines import is_set

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from starlette.types import ASGIApp

    from gateway_project.sandbox.store import Store

# Instead of an address: the stand-in's.
IN_SANDBOX: Final = "sandbox"


@dataclass(frozen=True, slots=True, kw_only=True)
class StandIn:
    """One upstream that can be stood in for.

    Attributes:
        name: short name; its state is kept in ``<name>.json``.
        title: name for people.
        variable: the setting that replaces it with the real thing.
        credentials: settings that the gateway needs beside the address, by name.
        build: makes the application from its address, its credentials and its state file.
        is_spare: the gateway does without it; ``<variable>=sandbox`` has it all the same.
    """

    name: str
    title: str
    variable: str
    credentials: Callable[[Store], Mapping[str, str]]
    build: Callable[[str, Mapping[str, str], Path | None], ASGIApp]
    is_spare: bool = False

    @property
    def is_wanted(self) -> bool:
        """Whether the environment leaves its place to the stand-in."""
        if os.environ.get(self.variable) == IN_SANDBOX:
            return True
        return not self.is_spare and not is_set(self.variable)

    def environment(self, url: str, store: Store) -> dict[str, str]:
        """Return the settings that point the gateway to this stand-in."""
        return {self.variable: url, **self.credentials(store)}


STAND_INS: Final = (
    StandIn(
        name="supabase",
        title="Supabase Auth",
        variable="SUPABASE_URL",
        credentials=lambda _: {
            "SUPABASE_KEY": supabase.PUBLISHABLE_KEY,
            "SUPABASE_SERVICE_KEY": supabase.SECRET_KEY,
        },
        build=lambda url, _, path: supabase.create_app(url=url, state_path=path),
    ),
    StandIn(
        name="litellm",
        title="LiteLLM",
        variable="LITELLM_BASE_URL",
        credentials=lambda store: {
            "LITELLM_MASTER_KEY": f"sk-{store.secret('litellm_master_key')}",
        },
        build=lambda _, credentials, path: litellm.create_app(
            master_key=credentials["LITELLM_MASTER_KEY"], state_path=path
        ),
    ),
    StandIn(
        name="letta",
        title="Letta",
        variable="LETTA_BASE_URL",
        credentials=lambda store: {"LETTA_API_KEY": store.secret("letta_password")},
        build=lambda _, credentials, path: letta.create_app(
            password=credentials["LETTA_API_KEY"],
            state_path=path,
            cloud=os.environ.get("LETTA_MODE") == "cloud",
        ),
    ),
    StandIn(
        name="ams",
        title="AMS",
        variable="AMS_BASE_URL",
        credentials=lambda store: {"AMS_API_KEY": store.secret("ams_key")},
        build=lambda _, credentials, path: ams.create_app(
            api_key=credentials["AMS_API_KEY"], state_path=path
        ),
        is_spare=True,
    ),
)
