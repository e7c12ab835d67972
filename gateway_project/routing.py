"""Which plane a request belongs to. The first pattern that matches has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import re_path

from gateway_core.access import recorded
from gateway_core.proxy.pipeline import proxy
from gateway_project.cors import with_cors
from letta_proxy.proxy import ROUTE as LETTA
from llm_proxy.proxy import ROUTE as LLM

if TYPE_CHECKING:
    from gateway_core.asgi import Application


def route(control_plane: Application) -> Application:
    """Return the application that sends each connection to its plane."""
    return ProtocolTypeRouter(
        {
            "http": with_cors(
                URLRouter(
                    [
                        re_path(r"^api/v1/llm/(?!keys(?:/|$))", proxy(LLM)),
                        re_path(r"^api/v1/letta/", proxy(LETTA)),
                        re_path(r"", recorded(control_plane)),
                    ]
                )
            ),
        }
    )
