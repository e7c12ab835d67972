"""What is written, in which form, and above all what is not."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from gateway_core.logging import REDACTED, is_sensitive, mask, redact

_CHECKOUT = Path(__file__).resolve().parents[2]
_PROGRAM = """
import sys, logging
from gateway_core import context
from gateway_core.logging import configure, get_logger
configure({"level": sys.argv[2], "format": sys.argv[1], "service": "gateway", "environment": "x"})
"""


def _written(program: str, *, form: str = "json", level: str = "INFO") -> list[str]:
    """Return the lines that a fresh process writes."""
    result = subprocess.run(
        [sys.executable, "-c", _PROGRAM + program, form, level],
        cwd=_CHECKOUT,
        capture_output=True,
        check=True,
        text=True,
    )
    assert result.stdout == ""
    return result.stderr.splitlines()


def _events(program: str, **options: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in _written(program, **options)]


def test_writes_one_json_object_for_each_event() -> None:
    (event,) = _events('get_logger("a.b").info("something", count=3, text="two\\nlines")')

    assert event["event"] == "something"
    assert event["level"] == "info"
    assert event["service"] == "gateway"
    assert event["environment"] == "x"
    assert (event["count"], event["text"]) == (3, "two\nlines")
    assert event["timestamp"].endswith("Z")
    assert event["logger"] == "a.b"


def test_writes_what_libraries_say_in_the_same_form() -> None:
    (event,) = _events('logging.getLogger("some.library").warning("slow: %d ms", 7)')

    assert event["event"] == "slow: 7 ms"
    assert event["level"] == "warning"
    assert event["service"] == "gateway"
    assert event["logger"] == "some.library"


def test_writes_a_traceback_within_the_line() -> None:
    (event,) = _events("""
try:
    1 / 0
except ZeroDivisionError:
    get_logger("a").exception("broke")
""")

    assert "ZeroDivisionError" in event["exception"]


def test_writes_the_id_of_the_request_in_hand() -> None:
    (event,) = _events("""
record = context.begin({"headers": [(b"x-request-id", b"request-1")], "path": "/"})
get_logger("a").info("something")
""")

    assert event["request_id"] == "request-1"


def test_writes_for_people_where_asked_to() -> None:
    (line,) = _written('get_logger("a").info("something", count=3)', form="console")

    assert "something" in line
    assert "count=3" in line
    assert not line.startswith("{")


def test_is_quiet_below_the_level() -> None:
    program = 'get_logger("a").info("no"); logging.getLogger("b").info("no either")'

    assert _written(program, level="WARNING") == []


@pytest.mark.parametrize("name", ["asyncio", "aiohttp", "urllib3", "httpx", "daphne"])
def test_is_quiet_about_what_libraries_do_every_time(name: str) -> None:
    assert _written(f'logging.getLogger("{name}.inner").info("connected")') == []


@pytest.mark.parametrize("name", ["uvicorn.access", "django.channels.server", "django.server"])
def test_writes_no_line_of_the_servers_own_for_a_request(name: str) -> None:
    assert _written(f'logging.getLogger("{name}").info("GET / 200")') == []
    assert _written(f'logging.getLogger("{name}").warning("GET / 404")') == []


def test_writes_no_line_of_the_servers_own_for_a_websocket() -> None:
    program = """
logger = logging.getLogger("uvicorn.error")
logger.info('%s - "WebSocket %s" [accepted]', "127.0.0.1:1", "/path?query")
logger.info("Application startup complete.")
"""

    assert [event["event"] for event in _events(program)] == ["Application startup complete."]


def test_writes_no_second_line_for_a_request_that_was_refused() -> None:
    program = """
logging.getLogger("django.request").warning("Not Found: /x")
logging.getLogger("django.security.DisallowedHost").error("Invalid HTTP_HOST header")
logging.getLogger("django.request").error("Internal Server Error: /x")
"""

    assert [event["event"] for event in _events(program)] == ["Internal Server Error: /x"]


_SECRETS = {
    "password": "s-1",
    "db_password": "s-2",
    "authorization": "Bearer s-3",
    "api_key": "s-4",
    "apikey": "s-5",
    "LITELLM_API_KEY": "s-6",
    "token": "s-7",
    "access_token": "s-8",
    "client_secret": "s-9",
    "jwt": "s-10",
    "set_cookie": "s-11",
    "credentials": "s-12",
    "master_key": "s-13",
    "bearer": "s-14",
}


@pytest.mark.parametrize("name", _SECRETS)
def test_writes_no_value_under_a_sensitive_name(name: str) -> None:
    assert redact(None, "", {name: _SECRETS[name]}) == {name: REDACTED}


@pytest.mark.parametrize(
    "name", ["tokens", "total_tokens", "max_tokens", "keys", "author", "path", "monkey", "duration"]
)
def test_writes_values_under_names_that_only_look_like_it(name: str) -> None:
    assert not is_sensitive(name)


def test_redacts_at_any_depth() -> None:
    event = {"headers": {"authorization": "Bearer x", "inner": {"password": "x", "size": 1}}}

    assert redact(None, "", event) == {
        "headers": {"authorization": REDACTED, "inner": {"password": REDACTED, "size": 1}}
    }


@pytest.mark.parametrize("form", ["json", "console"])
def test_writes_no_secret_in_either_form(form: str) -> None:
    lines = _written(
        f'get_logger("a").info("x", **{_SECRETS!r}); '
        f'get_logger("a").info("y", deep={{"more": {_SECRETS!r}}}); '
        'logging.getLogger("b").warning("z", extra={"api_key": "s-15"})',
        form=form,
    )

    assert len(lines) == 3
    assert not [line for line in lines if "s-1" in line or "s-7" in line]


_FORMS = {
    "an API key": "gwk_" + "k1" * 24,
    "an agent secret": "gws_" + "-a_b" * 17,
    "a virtual key": "sk-AbC_dEf-012345678",
    "an access token": "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
}


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize("secret", _FORMS.values(), ids=_FORMS)
def test_masks_what_has_the_form_of_a_secret_wherever_it_stands(secret: str, form: str) -> None:
    program = f"""
get_logger("a").info("said {secret}", path="/proxy/{secret}/models", deep=["{secret}"])
logging.getLogger("b").warning("HTTP GET /x?key=%s 404", "{secret}")
try:
    raise ValueError("{secret}")
except ValueError:
    get_logger("a").exception("broke")
    logging.getLogger("b").exception("broke")
"""
    lines = "\n".join(_written(program, form=form))

    assert secret not in lines
    assert lines.count(REDACTED) == 6
    assert "/models" in lines


@pytest.mark.parametrize("before", ["-", "to-ken-", "-eyJ-eyJ-", "eyJ."])
def test_masks_a_token_whatever_stands_before_it(before: str) -> None:
    token = _FORMS["an access token"]

    masked = mask(None, "", f"path=/{before}{token}/x")

    assert token.rpartition(".")[2] not in masked
    assert masked.endswith(f"{REDACTED}/x")


@pytest.mark.parametrize(
    "part",
    [
        *("-eyJ", "eyJ.", "-eyJ.a", "eyJa.-eyJ", "eyJa.a ", "-eyJ%"),
        *("sk-", "-sk-a", "gwk_", "Bearer ", "bearer a", "-"),
    ],
)
def test_reads_what_strangers_choose_in_time_by_its_length(part: str) -> None:
    def seconds(characters: int) -> float:
        line = part * (characters // len(part)) + "eyJ"
        taken = []
        for _ in range(3):
            began = time.thread_time()
            mask(None, "", line)
            taken.append(time.thread_time() - began)
        return min(taken)

    # Four times the length, sixteen times the time if it were read again from each place.
    assert seconds(80_000) < 8 * seconds(20_000) + 0.002


@pytest.mark.parametrize("form", ["json", "console"])
def test_cuts_what_is_too_long(form: str) -> None:
    program = """
get_logger("a").info("said " + "x" * 100_000, path="y" * 100_000)
logging.getLogger("b").warning("z" * 100_000)
try:
    raise ValueError("q" * 100_000)
except ValueError:
    sys.argv[1] == "json" and get_logger("a").exception("broke")
"""
    lines = _written(program, form=form)

    assert len(lines) in {2, 3}
    assert max(map(len, lines)) < 70_000
    assert all("…" in line or "\\u2026" in line for line in lines)


def test_masks_what_a_header_presents() -> None:
    (event,) = _events('get_logger("a").info("sent Authorization: Bearer opaque0123456789abc, x")')

    assert event["event"] == f"sent Authorization: Bearer {REDACTED}, x"


@pytest.mark.parametrize(
    "text", ["a risk-averse task-manager", "disk-usage", "the hint gwk_Ab12", "a Bearer token"]
)
def test_masks_nothing_that_only_looks_like_it(text: str) -> None:
    assert mask(None, "", text) == text
