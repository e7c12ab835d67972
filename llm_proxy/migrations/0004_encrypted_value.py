from __future__ import annotations

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [('llm_proxy', '0003_agent_secrets')]

    operations = [migrations.RenameField('virtualkey', 'sealed_value', 'encrypted_value')]
