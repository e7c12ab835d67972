from __future__ import annotations

import orjson
from django.test import override_settings

from accounts.models import User
from templates_app.holdings import HOLDER
from templates_app.models import Template, TemplateVersion
from tests.templates_app.conftest import exported, publish


@override_settings(MAX_TEMPLATES_PER_USER=7)
def test_tells_how_many_templates_a_user_has(alice: User, bob: User) -> None:
    publish(alice)
    publish(bob)
    publish(None)

    assert HOLDER.summarise(alice.pk) == {"templates": {"used": 1, "limit": 7}}


def test_exports_templates_as_they_can_be_imported(alice: User, bob: User) -> None:
    publish(alice, "1.0.0")
    template = publish(alice, "1.1.0").template
    publish(bob)
    (document,) = HOLDER.export(alice.pk)

    assert document.path == "helper.template.json"
    assert orjson.loads(b"".join(document.pieces)) == exported(template)


def test_erases_what_is_a_users_own(alice: User, bob: User) -> None:
    publish(alice, "1.0.0")
    publish(alice, "1.1.0")
    kept = {publish(bob).template_id, publish(None).template_id}

    assert HOLDER.count(alice.pk) == {"templates": 1, "versions": 2}
    assert HOLDER.erase(alice.pk) == {"templates": 1, "versions": 2}
    assert HOLDER.erase(alice.pk) == {"templates": 0, "versions": 0}
    assert set(Template.objects.values_list("pk", flat=True)) == kept
    assert TemplateVersion.objects.count() == 2
