from __future__ import annotations

import csv
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson
import pytest
from django.core.management import CommandError, call_command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway_core.audit import months
from gateway_core.audit.exports import writing
from gateway_core.audit.exports.lines import COLUMNS
from gateway_core.audit.keys import signer
from gateway_core.audit.models import AuditEvent
from gateway_core.audit.months import Month, make_ahead
from gateway_core.audit.persons import rename_by_parts
from gateway_core.audit.services import record_change
from tests.gateway_core.audit.conftest import _PROJECT
from tests.gateway_core.audit.trails import ALICE, BOB, event, execute, head, store

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.django_db(transaction=True)
_OLD = datetime(2024, 2, 29, tzinfo=UTC)
_ODD = '\0 \x01\x7f \\ " / \b\f\n\r\t ,"facts": ü 漢字 \U0001f600 \u2028 \\u0000 \''


@pytest.fixture(params=["jsonl", "csv"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / f"audit.{request.param}"


@pytest.fixture
def trail() -> None:
    """Two users, two months, odd texts, a change, an erasure."""
    store(3, at=_OLD)
    store(2, user_id=BOB, code="policy_forbidden", status=403)
    AuditEvent.objects.store(
        [
            event(path=_ODD, resource=_ODD, facts={_ODD: [1.0, 1e-7, 1e22, None, {"=1": "@"}]}),
            event(user_id=None, status=None, route="letta", duration_ms=250.0, first_byte_ms=1e15),
        ]
    )
    record_change(actor=None, action="thing.change", resource=f"user:{ALICE}")


def export(file: Path, *options: str) -> str:
    output = StringIO()
    call_command("export_audit", "--output", str(file), *options, stdout=output)
    return output.getvalue()


def verify(file: Path, *options: str) -> str:
    output = StringIO()
    call_command("verify_audit", "--export", str(file), *options, stdout=output)
    return output.getvalue()


def is_refused(file: Path, *options: str) -> str:
    output = StringIO()
    with pytest.raises(CommandError) as caught:
        call_command("verify_audit", "--export", str(file), *options, stdout=output)
    return output.getvalue() + str(caught.value)


def events_in(file: Path) -> list[dict[str, Any]]:
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".csv":
        with file.open(encoding="utf-8", newline="") as opened:
            return [row for row in csv.DictReader(opened) if row["type"] == "event"]
    lines = (orjson.loads(line) for line in text.split("\n") if line)
    return [line for line in lines if line["type"] == "event"]


@pytest.mark.usefixtures("trail")
def test_whole_chain_proves_that_nothing_is_missing(file: Path) -> None:
    said = export(file)

    assert "8 events of the whole chain" in said
    assert len(events_in(file)) == 8
    proof = verify(file, "--head", head())
    assert "8 events in 4 batches" in proof
    assert "nothing was changed, removed or added" in proof


@pytest.mark.usefixtures("trail")
def test_whole_chain_stays_provable_after_erasure_and_retention(file: Path) -> None:
    make_ahead(_OLD)
    sum(rename_by_parts(UUID(ALICE)))
    months.drop(Month(2024, 2))

    export(file)

    assert "good: nothing was changed" in verify(file)
    assert ALICE not in file.read_text(encoding="utf-8")
    for number in (3, 4):
        months.drop(Month(2024, number))


@pytest.mark.usefixtures("trail")
@pytest.mark.parametrize(
    ("options", "count"),
    [
        (("--user", BOB), 2),
        (("--user", "nobody@example.com"), 0),
        (("--since", "2025-01-01"), 5),
        (("--since", "1960-01-01"), 8),
        (("--until", "0001-01-01"), 0),
        (("--until", "2025-01-01T00:00:00+00:00"), 3),
        (("--action", "thing.change"), 1),
        (("--code", "policy_forbidden"), 2),
        (("--route", "letta"), 1),
        (("--plane", "control"), 1),
        (("--plane", "data", "--user", ALICE, "--since", "2025-01-01"), 1),
    ],
)
def test_filtered_export_proves_that_its_events_belong_to_the_chain(
    options: tuple[str, ...], count: int, file: Path
) -> None:
    said = export(file, *options)

    assert f"{count} events that the filters want" in said
    assert len(events_in(file)) == count
    proof = verify(file, "--head", head())
    assert f"{count} events in" in proof
    assert "can't be proved by an export with filters" in proof


@pytest.mark.usefixtures("trail")
@pytest.mark.parametrize("option", ["--action", "--route", "--user"])
@pytest.mark.parametrize("value", ["\udcff", "a\0b"])
def test_says_which_option_no_event_can_have(option: str, value: str, file: Path) -> None:
    with pytest.raises(CommandError, match=f"{option} is no text in UTF-8"):
        export(file, option, value)

    assert not file.exists()


@pytest.mark.usefixtures("trail")
def test_filtered_export_tells_nothing_of_others(file: Path) -> None:
    export(file, "--user", BOB)

    text = file.read_text(encoding="utf-8")
    assert ALICE not in text
    assert "letta" not in text


@pytest.mark.usefixtures("trail")
def test_says_what_the_database_says(tmp_path: Path) -> None:
    export(tmp_path / "audit.jsonl")

    told = {UUID(one["id"]): one for one in events_in(tmp_path / "audit.jsonl")}
    for row in AuditEvent.objects.values():
        one = told[row["id"]]
        assert datetime.fromisoformat(one["at"]) == row["at"]
        for name in ("status", "duration_ms", "path", "facts", "resource", "batch", "bytes_in"):
            assert one[name] == row[name]


@pytest.mark.usefixtures("trail")
def test_is_verified_by_the_public_key_alone(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    export(file)

    done = subprocess.run(
        [
            *(sys.executable, "manage.py", "verify_audit", "--export", str(file)),
            *("--public-key", signer().public_key.hex()),
        ],
        cwd=_PROJECT,
        env={
            **{name: value for name, value in os.environ.items() if "AUDIT" not in name},
            "DATABASE_URL": "postgresql://nobody:x@127.0.0.1:1/nothing",
            "DJANGO_SECRET_KEY": "another one",
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "good" in done.stdout
    assert "not among the public keys" in is_refused(file, "--public-key", "77" * 32)


@pytest.mark.usefixtures("trail")
def test_finds_in_an_export_what_had_been_changed_before(file: Path) -> None:
    execute("UPDATE audit_auditevent SET bytes_in = 7 WHERE user_id = %s", [BOB])
    export(file)
    assert "are not what they were" in is_refused(file)

    export(file, "--user", BOB)
    assert "are not what they were" in is_refused(file)


def test_cells_are_no_formulas(tmp_path: Path) -> None:
    texts = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "'=1", "'", "\uff1d1", "\n=1"]
    AuditEvent.objects.store(
        [event(path=text, action=text, resource=text, status=-5) for text in texts]
    )
    file = tmp_path / "audit.csv"
    export(file)

    with file.open(encoding="utf-8", newline="") as opened:
        cells = [cell for row in csv.reader(opened) for cell in row]
    assert not [
        cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r", "\uff1d"))
    ]
    assert "'=1+1" in cells
    assert "10 events" in verify(file)


@pytest.mark.usefixtures("trail")
def test_leaves_no_part_of_a_file_when_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "audit.jsonl"
    file.write_text("older")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing.JsonWriter, "event", fail)
    with pytest.raises(CommandError, match="No space left"):
        export(file)

    assert [path.name for path in tmp_path.iterdir()] == ["audit.jsonl"]
    assert file.read_text() == "older"


@pytest.mark.usefixtures("trail")
def test_is_for_its_owner_only(file: Path) -> None:
    export(file)

    assert file.stat().st_mode & 0o777 == 0o600


def test_export_of_nothing_is_good(file: Path) -> None:
    assert "0 events" in export(file)
    assert "0 events in 0 batches" in verify(file)


@pytest.mark.parametrize(
    "text", ["", "{}", "no json", '{"type":"event"}', "\xff", ",".join(COLUMNS)]
)
def test_refuses_what_is_no_export(text: str, tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    file.write_bytes(text.encode("latin-1"))

    assert is_refused(file)


@pytest.mark.usefixtures("trail")
def test_finds_lines_that_were_taken_out_doubled_or_swapped(file: Path) -> None:
    export(file)
    lines = _records(file)
    first = 2 if file.suffix == ".csv" else 1
    for position in range(first, len(lines)):
        _write(file, [*lines[:position], *lines[position + 1 :]])
        assert is_refused(file), lines[position]
        _write(file, [*lines[:position], lines[position], *lines[position:]])
        assert is_refused(file)
    for position in range(first, len(lines) - 1):
        swapped = [*lines[:position], lines[position + 1], lines[position], *lines[position + 2 :]]
        _write(file, swapped)
        assert is_refused(file)
    _write(file, lines)
    assert "good" in verify(file)


def _records(file: Path) -> list[Any]:
    if file.suffix == ".csv":
        with file.open(encoding="utf-8", newline="") as opened:
            return list(csv.reader(opened))
    return file.read_text(encoding="utf-8").split("\n")[:-1]


def _write(file: Path, records: list[Any]) -> None:
    with file.open("w", encoding="utf-8", newline="") as opened:
        if file.suffix == ".csv":
            csv.writer(opened).writerows(records)
        else:
            opened.writelines(f"{record}\n" for record in records)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
@pytest.mark.usefixtures("trail")
def test_finds_any_changed_character(data: st.DataObject, file: Path) -> None:
    if not file.exists():
        export(file)
    good = file.read_bytes()
    start = good.index(b"\n") + 1
    if file.suffix == ".csv":  # the next line says what the export is
        start = good.index(b"\n", start) + 1
    place = data.draw(st.integers(start, len(good) - 1))
    # A blank between two members of JSON says nothing.
    byte = data.draw(st.sampled_from([b"0", b"1", b"x", b'"', b",", b"{", b"-", b"\xc3"]))
    if good[place : place + 1] == byte:
        return
    bad = file.with_name(f"bad{file.suffix}")
    bad.write_bytes(good[:place] + byte + good[place + 1 :])

    assert is_refused(bad)


def test_takes_dates_as_days_of_utc(file: Path) -> None:
    store(1, at=_OLD - timedelta(milliseconds=1))
    store(1, at=_OLD)

    assert "1 events" in export(file, "--since", "2024-02-29")
    assert "1 events" in export(file, "--since", "2024-02-29T01:00:00+01:00")
    assert "2 events" in export(file, "--until", "2024-03-01")


@pytest.mark.usefixtures("trail")
def test_finds_an_event_that_says_it_is_of_another_batch(file: Path) -> None:
    export(file)
    text = file.read_text(encoding="utf-8")
    old, new = ("event,1,", "event,2,") if file.suffix == ".csv" else ('"batch":1,', '"batch":2,')
    file.write_text(text.replace(old, new, 1), encoding="utf-8", newline="")

    assert "stands in batch 1" in is_refused(file)


@pytest.mark.usefixtures("trail")
@pytest.mark.parametrize(("old", "new"), [(",POST,", ",'POST,"), ('{""salt"": ', '{""salt"":')])
def test_takes_no_cell_that_would_be_written_otherwise(old: str, new: str, tmp_path: Path) -> None:
    file = tmp_path / "audit.csv"
    export(file)
    text = file.read_text(encoding="utf-8")
    assert old in text
    with file.open("w", encoding="utf-8", newline="") as opened:
        opened.write(text.replace(old, new, 1))

    assert "is not as it was written" in is_refused(file)


@pytest.mark.usefixtures("trail")
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"status":200,', '"status":500,"status":200,'),
        ('"status":200,', '"status": 200,'),
        ('"events":3,', '"events":9,"events":3,'),
        ('"kind":"events",', '"kind" :"events",'),
    ],
)
def test_takes_no_line_that_others_may_read_otherwise(old: str, new: str, tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    export(file)
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8", newline="")

    assert "is not as it was written" in is_refused(file)
