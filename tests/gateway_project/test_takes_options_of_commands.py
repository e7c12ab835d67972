"""What operators get wrong on the command line is said in one line, before anything is done."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

_NOWHERE = "/nothing/of/the/kind"


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("cleanup --batch-size 0", "--batch-size is at least 1."),
        ("rotate_encryption --batch-size 0", "--batch-size is at least 1."),
        ("reconcile_agents --grace -1", "--grace is not negative."),
        ("reconcile_usage --idle -1", "--idle is not negative."),
        ("reconcile_usage --since 2026-11-23 --until 2026-11-22", "--since must be before --until"),
        ("reconcile_usage --since yesterday", "'yesterday' is no date or time, like 2026-11-23"),
        ("verify_audit --since 2026-13-01", "'2026-13-01' is no date or time"),
        ("run_jobs --interval 0", "--interval is more than 0."),
        ("serve --port 65536", "--port is from 0, any that is free, to 65535."),
        ("serve --workers 0", "--workers is at least 1."),
        (f"check_upstreams --file {_NOWHERE}", f"{_NOWHERE} can't be read: No such file"),
        (f"check_upstreams --file {__file__}", "test_takes_options_of_commands.py is not JSON"),
        (f"export_audit --output {_NOWHERE}", f"{_NOWHERE} can't be written: No such file"),
        (f"prove_isolation --dry-run --json {_NOWHERE}", "There is no directory /nothing/of/the."),
        (
            "prove_isolation --base-url http://127.0.0.1:1 --owner-token x --other-token y",
            "http://127.0.0.1:1 could not be tried. [Errno 111] Connection refused",
        ),
    ],
)
@pytest.mark.usefixtures("transactional_db")
def test_says_which_option_can_not_be(command: str, says: str) -> None:
    out = StringIO()

    with pytest.raises(CommandError) as caught:
        call_command(*command.split(), stdout=out, stderr=StringIO())

    assert says in str(caught.value)
    assert out.getvalue() == ""


@pytest.mark.parametrize(
    ("command", "setting", "says"),
    [
        ("sync_keys", "LITELLM_BASE_URL", "LiteLLM at http://127.0.0.1:1: "),
        ("reconcile_usage", "LITELLM_BASE_URL", "LiteLLM at http://127.0.0.1:1: "),
        ("sync_users", "SUPABASE_URL", "Supabase at http://127.0.0.1:1: "),
        ("check_upstreams", "LETTA_BASE_URL", "Letta at http://127.0.0.1:1: "),
    ],
)
@pytest.mark.usefixtures("transactional_db")
def test_says_what_is_away_and_where(settings: Any, command: str, setting: str, says: str) -> None:
    settings.SUPABASE_SERVICE_KEY = "sb_secret_key"
    setattr(settings, setting, "http://127.0.0.1:1")

    with pytest.raises(CommandError) as caught:
        call_command(command, stdout=StringIO())

    assert str(caught.value).startswith(says)


def test_draws_no_bar_where_there_is_no_terminal(
    transactional_db: None, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    del transactional_db
    for command in ("cleanup", "rotate_encryption", f"export_templates {tmp_path}"):
        call_command(*command.split(), stdout=StringIO())

    assert capsys.readouterr().err == ""
