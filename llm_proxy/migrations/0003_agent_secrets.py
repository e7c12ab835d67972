from __future__ import annotations

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    """Which version of a user's agent secret is in force."""

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("llm_proxy", "0002_keys_and_usage"),
    ]

    operations = [
        migrations.CreateModel(
            name="AgentSecret",
            fields=[
                (
                    "user",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="agent_secret",
                        serialize=False,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("version", models.PositiveIntegerField(default=1)),
                ("changed_at", models.DateTimeField(auto_now=True)),
            ],
            options={
                "ordering": ("-changed_at", "user"),
                "permissions": (("revoke_agentsecret", "Can replace agent secrets"),),
                "indexes": [
                    models.Index(fields=["-changed_at", "user"], name="llm_proxy_agent_secret")
                ],
            },
        ),
    ]
