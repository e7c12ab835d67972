"""The one ASGI application, which ``manage.py serve`` serves."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, cast

from django.core.asgi import get_asgi_application

if TYPE_CHECKING:
    from gateway_core.asgi import Application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_project.settings")
django_application = get_asgi_application()

# The rest needs loaded apps. The URLs, too, have to load before anything is served: Django would
# look for them at the first request, and at each one again while they can't be loaded.
import gateway_project.urls  # noqa: E402, F401
from gateway_core.encrypted import stored_secrets_fault  # noqa: E402
from gateway_project.lifecycle import Lifecycle  # noqa: E402
from gateway_project.routing import route  # noqa: E402

application = Lifecycle(route(cast("Application", django_application)), fault=stored_secrets_fault)
