from __future__ import annotations

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [('agents', '0002_upgrades')]

    operations = [
        migrations.RenameField('agent', 'sealed_variables', 'encrypted_variables'),
        migrations.RenameField('migration', 'sealed', 'encrypted'),
    ]
