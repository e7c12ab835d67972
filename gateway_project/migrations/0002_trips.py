from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('roof', '0001_upstream_operations'),
    ]

    operations = [
        migrations.CreateModel(
            name='BreakerTrip',
            fields=[
                ('breaker', models.CharField(max_length=64, primary_key=True, serialize=False)),
                ('reason', models.TextField()),
            ],
            options={
                'ordering': ('breaker',),
            },
        ),
    ]
