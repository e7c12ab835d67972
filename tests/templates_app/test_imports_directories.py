from __future__ import annotations

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr
from pathlib import Path

import pytest
import yaml
from django.core.management import CommandError, call_command
from django.db import connection

from accounts.models import User
from gateway_core.advisory import only_one
from gateway_core.audit.models import AuditEvent
from templates_app.models import Template, TemplateVersion
from tests.templates_app.conftest import publish
from tests.templates_app.files import agent_file, as_json

pytestmark = pytest.mark.django_db


def bring(directory: Path, *options: str) -> str:
    out = io.StringIO()
    call_command("import_templates", str(directory), *options, stdout=out)
    return out.getvalue()


def write_out(directory: Path, *options: str) -> str:
    out = io.StringIO()
    call_command("export_templates", str(directory), *options, stdout=out)
    return out.getvalue()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "z.yaml").write_text("# Mine.\n" + yaml.safe_dump(agent_file()), "utf-8")
    (tmp_path / "a.json").write_bytes(as_json(agent_file(version="1.10.0")))
    (tmp_path / "b.yml").write_text(yaml.safe_dump(agent_file(version="1.9.0")), "utf-8")
    (tmp_path / "other.YAML").write_text(yaml.safe_dump(agent_file("other")), "utf-8")
    (tmp_path / "README.md").write_text("Not a template.", "utf-8")
    return tmp_path


def versions() -> list[tuple[str, str]]:
    rows = TemplateVersion.objects.order_by("pk")
    return list(rows.values_list("template__name", "version"))


def test_publishes_what_is_there_for_everybody_the_lowest_version_first(directory: Path) -> None:
    assert bring(directory) == "published: 4, unchanged: 0, refused: 0\n"

    assert versions() == [
        *(("helper", "1.0.0"), ("helper", "1.9.0"), ("helper", "1.10.0"), ("other", "1.0.0"))
    ]
    assert Template.objects.filter(owner=None, visibility="public").count() == 2
    assert set(AuditEvent.objects.values_list("action", "user_id")) == {("template.publish", None)}


def test_leaves_what_is_published_alone(directory: Path) -> None:
    bring(directory)
    (directory / "new.json").write_bytes(as_json(agent_file("other", "2.0.0")))

    assert bring(directory) == "published: 1, unchanged: 4, refused: 0\n"


def test_publishes_nothing_in_a_dry_run(directory: Path) -> None:
    assert bring(directory, "--dry-run") == "would be published: 4, unchanged: 0, refused: 0\n"

    assert not Template.objects.exists()
    assert not AuditEvent.objects.exists()


def test_keeps_drafts_to_staff(directory: Path) -> None:
    bring(directory, "--visibility", "private")

    assert Template.objects.filter(owner=None, visibility="private").count() == 2


def test_names_every_fault_of_every_file_and_publishes_nothing(directory: Path) -> None:
    (directory / "c.yaml").write_text(yaml.safe_dump(agent_file(engine={}, tools=[1])), "utf-8")
    (directory / "d.yaml").write_text("a: *b", "utf-8")
    (directory / "e.json").write_bytes(as_json(agent_file(version="1.9.0+again")))
    with pytest.raises(CommandError) as caught:
        bring(directory)

    assert str(caught.value).splitlines() == [
        "Nothing was published.",
        "  c.yaml: /engine/model is required",
        "  c.yaml: /tools/0 must be a text",
        "  d.yaml:  Line 1, column 4: Anchors and aliases are not read. Write the value out.",
        "  e.json: /template/version is the one of b.yml too",
    ]
    assert not Template.objects.exists()


def test_says_which_versions_can_not_be_published_and_publishes_the_others(
    directory: Path,
) -> None:
    publish(None, "1.9.0", tools=[])
    out = io.StringIO()
    with pytest.raises(CommandError) as caught:
        call_command("import_templates", str(directory), stdout=out)

    assert out.getvalue() == "published: 2, unchanged: 0, refused: 2\n"
    _title, first, second = str(caught.value).splitlines()
    assert first.startswith("  z.yaml: /template/version 1.0.0 is not higher than 1.9.0")
    assert second.startswith("  b.yml: /template/version 1.9.0 is published already")
    assert versions() == [("helper", "1.9.0"), ("helper", "1.10.0"), ("other", "1.0.0")]


@pytest.mark.parametrize("name", ["nothing", "README.md"])
def test_wants_a_directory(name: str, directory: Path) -> None:
    with pytest.raises(CommandError):
        bring(directory / name)


def test_wants_files_in_it(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"there is no \.yaml"):
        bring(tmp_path)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_shows_how_far_it_is_on_a_terminal(directory: Path) -> None:
    terminal, pipe = Terminal(), io.StringIO()
    for stream in (terminal, pipe):
        with redirect_stderr(stream):
            bring(directory, "--dry-run")

    assert "] 4/4" in terminal.getvalue()
    assert pipe.getvalue() == ""


@pytest.mark.django_db(transaction=True)
def test_runs_once_at_a_time(directory: Path) -> None:
    held, enough = threading.Event(), threading.Event()

    def hold() -> None:
        with only_one("import_templates"):
            held.set()
            enough.wait(10)
        connection.close()

    with ThreadPoolExecutor(1) as other:
        holding = other.submit(hold)
        assert held.wait(10)
        with pytest.raises(CommandError, match="Another process"):
            bring(directory)
        enough.set()
        holding.result()
    assert bring(directory).startswith("published: 4")


# -- and out again
def test_writes_every_version_as_it_was_published(directory: Path, tmp_path: Path) -> None:
    bring(directory)
    target = tmp_path / "deep" / "target"

    assert write_out(target) == "written: 4, unchanged: 0\n"
    assert sorted(path.name for path in target.iterdir()) == [
        *("helper-1.0.0.yaml", "helper-1.10.0.json", "helper-1.9.0.yaml", "other-1.0.0.yaml")
    ]
    assert (target / "helper-1.0.0.yaml").read_bytes() == (directory / "z.yaml").read_bytes()


def test_brings_back_what_it_has_written(directory: Path, tmp_path: Path) -> None:
    bring(directory)
    write_out(tmp_path / "target")
    before = list(TemplateVersion.objects.order_by("pk").values_list("version", "checksum"))
    assert bring(tmp_path / "target") == "published: 0, unchanged: 4, refused: 0\n"
    Template.objects.all().delete()
    bring(tmp_path / "target")

    assert list(TemplateVersion.objects.order_by("pk").values_list("version", "checksum")) == before


def test_writes_nothing_in_a_dry_run(directory: Path, tmp_path: Path) -> None:
    bring(directory)

    assert write_out(tmp_path / "target", "--dry-run") == "would be written: 4, unchanged: 0\n"
    assert not (tmp_path / "target").exists()


def test_writes_no_file_again(directory: Path, tmp_path: Path) -> None:
    bring(directory)
    write_out(tmp_path / "target")
    (tmp_path / "target" / "other-1.0.0.yaml").write_text("changed", "utf-8")

    assert write_out(tmp_path / "target") == "written: 1, unchanged: 3\n"


def test_writes_only_the_latest_versions_when_asked(directory: Path, tmp_path: Path) -> None:
    bring(directory)

    assert write_out(tmp_path / "target", "--latest") == "written: 2, unchanged: 0\n"


def test_writes_the_templates_of_one_user(tmp_path: Path, alice: User, bob: User) -> None:
    publish(alice, name="alices")
    publish(bob, name="bobs")
    publish(None, name="public")
    write_out(tmp_path / "alice", "--user", str(alice.pk))
    write_out(tmp_path / "product")

    assert [path.name for path in (tmp_path / "alice").iterdir()] == ["alices-1.0.0.json"]
    assert [path.name for path in (tmp_path / "product").iterdir()] == ["public-1.0.0.json"]
    for nobody in ("0190b6a0-0000-7000-8000-000000000000", "alice"):
        with pytest.raises(CommandError, match="no user"):
            write_out(tmp_path, "--user", nobody)


def test_says_where_it_can_not_write(directory: Path) -> None:
    bring(directory)
    with pytest.raises(CommandError, match="README"):
        write_out(directory / "README.md")
