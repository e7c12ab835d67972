from __future__ import annotations

from django.apps import AppConfig


class JobsConfig(AppConfig):
    """Holds the table of jobs."""

    name = "gateway_core.jobs"
    label = "jobs"
    verbose_name = "Jobs"
