"""The rules that the gateway comes with. Staff change, switch or delete them like any other."""

from django.db import migrations

_FREE = "Anonymous accounts cost nothing to make, and "

# Effect, method, path pattern, role, whether it is switched on, and why.
SHIPPED = [
    # What nobody should do who can have as many accounts as they like.
    ("deny", "POST", "/folders/*/upload", "anonymous", True,
     _FREE + "each file costs storage and embeddings."),
    ("deny", "POST", "/sources/*/upload", "anonymous", True,
     _FREE + "each file costs storage and embeddings. The old name of /folders/*/upload."),
    ("deny", "POST", "/archives/*/passages/batch", "anonymous", True,
     _FREE + "each passage of a batch costs an embedding."),
    ("shadow", "POST", "/agents/*/messages/async", "anonymous", True,
     _FREE + "such a run goes on, and costs, when nobody waits for it any more."),
    # What some products want to keep to themselves, or from being done by mistake.
    ("shadow", "GET", "/agents/*/export", "", True,
     "It hands out the whole agent: system prompt, memory and messages. Deny it if the prompts "
     "are yours to keep; GET /agents/* shows the system prompt too."),
    ("shadow", "POST", "/agents/*/export", "", True,
     "The same as GET /agents/*/export, with options."),
    ("shadow", "GET", "/steps/*/trace", "", True,
     "It shows the request as it went to the model, with the whole prompt. No client needs it."),
    ("shadow", "PATCH", "/agents/*/tools/approval/*", "", True,
     "It lifts the approval that a tool has to wait for. Deny it if approvals protect you and "
     "not the user."),
    ("shadow", "PATCH", "/agents/*/reset-messages", "", True,
     "It deletes all messages of an agent for good."),
    ("shadow", "POST", "/agents/*/generate", "", True,
     "It calls the model beside the conversation, so that nothing of it stays in the agent."),
    # Switches for bad days.
    ("deny", "", "/**", "", False,
     "Maintenance: nobody reaches Letta while this is on."),
    ("deny", "DELETE", "/**", "", False,
     "Nothing is deleted while this is on, as during a restore or after a takeover of accounts."),
    ("deny", "POST", "/agents", "anonymous", False,
     _FREE + "agents stay until somebody deletes them."),
]  # fmt: skip


def add(apps, _schema_editor):
    apps.get_model("letta_proxy", "AccessRule").objects.bulk_create(_rows(apps))


def remove(apps, _schema_editor):
    """Take away those that are still as they came."""
    rules = apps.get_model("letta_proxy", "AccessRule").objects.filter(updated_by=None, user=None)
    for row in _rows(apps):
        rules.filter(
            effect=row.effect,
            method=row.method,
            path_pattern=row.path_pattern,
            role=row.role,
            is_active=row.is_active,
        ).delete()


def _rows(apps):
    rule = apps.get_model("letta_proxy", "AccessRule")
    names = ("effect", "method", "path_pattern", "role", "is_active", "reason")
    return [rule(**dict(zip(names, row, strict=True))) for row in SHIPPED]


class Migration(migrations.Migration):
    dependencies = [("letta_proxy", "0002_access_rules")]

    operations = [migrations.RunPython(add, remove)]
