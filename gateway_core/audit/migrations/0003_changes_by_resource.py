"""An index of the changes by what was changed: an export asks for those of a user."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("audit", "0002_chain_and_months")]

    operations = [
        migrations.AddIndex(
            model_name="auditevent",
            index=models.Index(
                condition=models.Q(("status", None)), fields=["resource"], name="audit_change_of"
            ),
        ),
    ]
