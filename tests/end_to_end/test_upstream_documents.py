"""The real upstreams are those that the catalogues were made from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway_project.sentinel.known import DOCUMENTED_SERVICES
from gateway_project.sentinel.models import UpstreamOperation
from gateway_project.sentinel.watch import live_document, look

if TYPE_CHECKING:
    from tests.end_to_end.upstream_views import Upstreams


def test_knows_every_operation_of_the_real_upstreams(upstreams: Upstreams, settings: Any) -> None:
    for name, value in upstreams.settings.items():
        setattr(settings, name, value)

    for upstream in DOCUMENTED_SERVICES:
        states = look(upstream, live_document(upstream))

        different = {
            name: state
            for name, state in states.items()
            if state is not UpstreamOperation.State.KNOWN
        }
        assert (upstream.name, different) == (upstream.name, {})
