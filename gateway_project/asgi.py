"""The one ASGI application: ``uvicorn gateway_project.asgi:application``."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_project.settings")
django_application = get_asgi_application()

# The rest needs loaded apps.
from gateway_project.lifecycle import Lifecycle  # noqa: E402
from gateway_project.routing import route  # noqa: E402

application = Lifecycle(route(django_application))
