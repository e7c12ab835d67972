"""What the catalogues were made from: a committed description of each upstream's documentation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

import letta_proxy.catalogue
import llm_proxy
from gateway_project.sentinel.documents import describe
from llm_proxy.operations import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

# What the gateway itself asks of LiteLLM, beside what it offers.
_ASKED_OF_LITELLM: Final = frozenset(
    {"POST /user/new", "POST /key/generate", "GET /key/info", "GET /health/readiness"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentedService:
    """A service behind the gateway that documents itself.

    Attributes:
        title: how its document's title begins.
        url_setting, key_setting: its address and the credential that its document needs.
        file: where what is known of it is kept.
    """

    name: str
    title: str
    url_setting: str
    key_setting: str
    file: Path


DOCUMENTED_SERVICES: Final = (
    DocumentedService(
        name="letta",
        title="Letta",
        url_setting="LETTA_BASE_URL",
        key_setting="LETTA_API_KEY",
        file=Path(letta_proxy.catalogue.__file__).with_name("documented.json"),
    ),
    DocumentedService(
        name="litellm",
        title="LiteLLM",
        url_setting="LITELLM_BASE_URL",
        key_setting="LITELLM_MASTER_KEY",
        file=Path(llm_proxy.__file__).with_name("documented.json"),
    ),
)


def known_of(service: DocumentedService) -> dict[str, str]:
    """Return the fingerprint of each known operation, empty where only its name matters."""
    operations = orjson.loads(service.file.read_bytes())["operations"]
    return {name: fingerprint for name, (fingerprint, _) in operations.items()}


def keep(service: DocumentedService, document: Mapping[str, Any]) -> int:
    """Write down what a document says, one line for each operation, and return their number."""
    lines = []
    for name, one in sorted(describe(document).items()):
        facts = [one.fingerprint, one.ids] if _is_used(service, name) else ["", []]
        lines.append(f"    {_text(name)}: {_text(facts)}")
    info = document.get("info", {})
    head = _text(f"{info.get('title')} {info.get('version')}")
    body = ",\n".join(lines)
    service.file.write_text(
        f'{{\n  "of": {head},\n  "operations": {{\n{body}\n  }}\n}}\n', encoding="utf-8"
    )
    return len(lines)


def _is_used(service: DocumentedService, name: str) -> bool:
    """Say whether a change of an operation matters: of LiteLLM only few are called."""
    if service.name != "litellm":
        return True
    offered = {f"{operation.method} {operation.upstream_path}" for operation in OPERATIONS}
    return name in offered | _ASKED_OF_LITELLM


def _text(value: Any) -> str:
    return orjson.dumps(value).decode()
