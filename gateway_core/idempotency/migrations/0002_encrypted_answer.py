from __future__ import annotations

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [('idempotency', '0001_reserve_keys')]

    operations = [
        migrations.RenameField('idempotencyrecord', 'sealed_answer', 'encrypted_answer'),
    ]
