"""Looking at what upstreams document now, and comparing it with what is known of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from gateway_core.errors import GatewayError
from gateway_core.rest import RestClient
from gateway_project.sentinel.documents import describe
from gateway_project.sentinel.known import DOCUMENTED_SERVICES, known_of
from gateway_project.sentinel.models import UpstreamOperation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway_project.sentinel.known import DocumentedService

State = UpstreamOperation.State
_OK: Final = 200
_LIMIT_BYTES: Final = 64 * 1024 * 1024
_READ_SECONDS: Final = 60


class DocumentUnavailable(Exception):
    """An upstream's documentation can't be read."""


def live_document(service: DocumentedService) -> dict[str, Any]:
    """Return the OpenAPI document that an upstream serves.

    Raises:
        DocumentUnavailable: it serves none, or does not answer.
    """
    url = getattr(settings, service.url_setting)
    if not url:
        raise DocumentUnavailable(f"{service.url_setting} is not set.")
    headers = {"authorization": f"Bearer {getattr(settings, service.key_setting)}"}
    client = RestClient(url, headers=headers, read_timeout=_READ_SECONDS, limit=_LIMIT_BYTES)
    try:
        answer = client.call("GET", "/openapi.json")
        document = answer.json() if answer.status == _OK else None
    except GatewayError as exc:
        raise DocumentUnavailable(f"{service.title} at {url}: {exc.detail}") from exc
    finally:
        client.close()
    if not isinstance(document, dict):
        where = f"{url}/openapi.json"
        raise DocumentUnavailable(
            f"{service.title} serves no document: {where} is {answer.status}."
        )
    return document


def service_of(document: Mapping[str, Any]) -> DocumentedService:
    """Return the upstream that a document is of, by its title.

    Raises:
        DocumentUnavailable: it is of none that is known.
    """
    title = str(document.get("info", {}).get("title", ""))
    for service in DOCUMENTED_SERVICES:
        if title.startswith(service.title):
            return service
    raise DocumentUnavailable(f"A document of {title or 'nothing'} is of no upstream.")


def compare(known: Mapping[str, str], document: Mapping[str, Any]) -> dict[str, State]:
    """Return the state of every operation that is known or documented, by ``METHOD /path``."""
    live = {name: one.fingerprint for name, one in describe(document).items()}
    states = dict.fromkeys(known.keys() - live.keys(), State.GONE)
    for name, fingerprint in live.items():
        if name not in known:
            states[name] = State.NEW
        else:
            is_same = known[name] in {"", fingerprint}
            states[name] = State.KNOWN if is_same else State.CHANGED
    return states


def store(service: DocumentedService, states: Mapping[str, State]) -> None:
    """Write what was found, for the admin."""
    now = timezone.now()
    rows = []
    for name, state in states.items():
        method, path = name.split(" ", 1)
        seen = None if state is State.GONE else now
        rows.append(
            UpstreamOperation(
                upstream=service.name, method=method, path=path, state=state, last_seen=seen
            )
        )
    with transaction.atomic():
        _upsert([row for row in rows if row.last_seen], ("state", "last_seen"))
        _upsert([row for row in rows if not row.last_seen], ("state",))
        # What is neither known nor documented any longer was new once.
        UpstreamOperation.objects.filter(upstream=service.name, state=State.NEW).exclude(
            last_seen=now
        ).update(state=State.GONE)


def look(service: DocumentedService, document: Mapping[str, Any]) -> dict[str, State]:
    """Return the state of each operation of an upstream."""
    return compare(known_of(service), document)


def _upsert(rows: list[UpstreamOperation], fields: tuple[str, ...]) -> None:
    UpstreamOperation.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=("upstream", "path", "method"),
        update_fields=fields,
    )
