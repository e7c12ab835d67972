from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """Whether an account's agents call their models through the gateway."""

    dependencies = [("letta_proxy", "0004_groups_and_passages")]

    operations = [
        migrations.AddField(
            model_name="lettaaccount",
            name="address_hash",
            field=models.CharField(
                blank=True,
                default="",
                help_text=(
                    "SHA-256 of the address that its model provider and agents were last given; "
                    "empty: none yet."
                ),
                max_length=64,
            ),
        ),
    ]
