"""Events in a partition for each month, and sealed in a chain of batches.

The rows that are there are moved, and sealed as they are. On the way back they are moved again, and
the chain is gone.
"""

import re
from datetime import UTC, datetime

from django.db import migrations, models

from gateway_core.audit.leaves import SQL_MONTH
from gateway_core.audit.months import DEFAULT, Month, make, make_ahead
from gateway_core.audit.sealing import adopt

TABLE = "audit_auditevent"


def partition(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(f"SELECT DISTINCT {SQL_MONTH} FROM {TABLE}")
        months = sorted(Month.parse(month) for (month,) in cursor.fetchall())
        indexes = put_aside(cursor)
        cursor.execute(
            f"CREATE TABLE {TABLE} (LIKE {TABLE}_old INCLUDING DEFAULTS, PRIMARY KEY (id)) "
            "PARTITION BY RANGE (id)"
        )
        cursor.execute(f"CREATE TABLE {DEFAULT} PARTITION OF {TABLE} DEFAULT")
        for index in indexes:
            cursor.execute(index)
        for month in months:
            make(cursor, month)
    make_ahead(datetime.now(UTC))
    take_over(schema_editor)
    adopt()


def join_again(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        indexes = put_aside(cursor)
        cursor.execute(f"CREATE TABLE {TABLE} (LIKE {TABLE}_old INCLUDING DEFAULTS, PRIMARY KEY (id))")
        for index in indexes:
            cursor.execute(index)
    take_over(schema_editor)


def put_aside(cursor):
    """Rename the table, and return the statements that make its indexes, which it loses."""
    cursor.execute(
        "SELECT indexname, indexdef FROM pg_indexes "
        "WHERE tablename = %s AND schemaname = current_schema() AND indexname LIKE %s",
        [TABLE, r"audit\_%"],
    )
    found = [(name, text) for name, text in cursor.fetchall() if "UNIQUE" not in text]
    for name, _ in found:
        cursor.execute(f"DROP INDEX {name}")
    cursor.execute(f"ALTER TABLE {TABLE} RENAME TO {TABLE}_old")
    cursor.execute(f"ALTER TABLE {TABLE}_old DROP CONSTRAINT {TABLE}_pkey")
    return [re.sub(r" ON ONLY ", " ON ", text) for _, text in found]


def take_over(schema_editor):
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {TABLE} SELECT * FROM {TABLE}_old")
        cursor.execute(f"DROP TABLE {TABLE}_old")


class Migration(migrations.Migration):
    dependencies = [("audit", "0001_record_events")]

    operations = [
        migrations.CreateModel(
            name='AuditBatch',
            fields=[
                ('sequence', models.BigIntegerField(primary_key=True, serialize=False)),
                ('kind', models.TextField(choices=[('events', 'events'), ('erasure', 'erasure'), ('retention', 'retention')])),
                ('at', models.DateTimeField(help_text='When it was sealed.')),
                ('events', models.IntegerField()),
                ('digests', models.JSONField(help_text='Of each month: how many events, and their hash.')),
                ('notes', models.JSONField(default=dict, help_text='The month that was dropped, and where the chain begins since then.')),
                ('previous', models.TextField(help_text='Hash of the batch before.')),
                ('key_id', models.TextField(verbose_name='key')),
                ('hash', models.TextField()),
                ('signature', models.TextField()),
            ],
            options={
                'verbose_name': 'batch',
                'verbose_name_plural': 'batches',
                'ordering': ('-sequence',),
                'default_permissions': ('view',),
            },
        ),
        migrations.CreateModel(
            name='UnsealedChange',
            fields=[
                ('event_id', models.UUIDField(primary_key=True, serialize=False)),
                ('key_id', models.TextField()),
                ('signature', models.TextField()),
                ('is_refused', models.BooleanField(default=False)),
            ],
            options={
                'default_permissions': ('view',),
                'ordering': ('-event_id',),
            },
        ),
        migrations.CreateModel(
            name='WithdrawnState',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('event_id', models.UUIDField()),
                ('batch', models.BigIntegerField()),
                ('content', models.BinaryField()),
                ('replaces', models.BinaryField(default=b'')),
            ],
            options={
                'default_permissions': ('view',),
                'ordering': ('-id',),
            },
        ),
        migrations.AddField(
            model_name='auditevent',
            name='batch',
            field=models.BigIntegerField(help_text='The batch that says what it says now; empty until a change is sealed.', null=True),
        ),
        migrations.AddField(
            model_name='auditevent',
            name='replaces',
            field=models.BinaryField(default=b'', help_text='The leaf of what it said before somebody was erased from it.'),
        ),
        migrations.AddField(
            model_name='auditevent',
            name='salt',
            field=models.UUIDField(editable=False, null=True),
        ),
        migrations.AddIndex(
            model_name='auditevent',
            index=models.Index(fields=['batch'], name='audit_batch'),
        ),
        migrations.AddConstraint(
            model_name='withdrawnstate',
            constraint=models.UniqueConstraint(fields=('batch', 'event_id'), name='audit_withdrawn_once'),
        ),
        migrations.AddIndex(
            model_name='auditbatch',
            index=models.Index(condition=models.Q(('kind', 'events'), _negated=True), fields=['kind'], name='audit_batch_kind'),
        ),
        migrations.RunPython(partition, join_again),
    ]
