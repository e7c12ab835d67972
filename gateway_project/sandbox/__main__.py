"""The sandbox's command line; ``make run`` and ``make token`` call it."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway_core.errors import GatewayError
from gateway_core.rest import RestClient
from gateway_project.sandbox.console import say, strong
from gateway_project.sandbox.environment import RunRecord, data_directory, read_dotenv
from gateway_project.sandbox.processes import StartFailed
from gateway_project.sandbox.run import Sandbox

if TYPE_CHECKING:
    from collections.abc import Sequence

_DEFAULT_PORT: Final = 8000
_TOKEN_SECONDS: Final = 24 * 3600
_EXAMPLE_EMAIL: Final = "alice@example.com"
# SIGINT, too, where it is ignored, as in a script's background; SIGHUP not, or nohup is no use.
_STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status."""
    read_dotenv()
    options = _parser().parse_args(arguments)
    try:
        if options.command == "token":
            say(token(options.data, options.email))
        else:
            run(options.data, options.port, with_gateway=not options.without_gateway)
    except StartFailed as exc:
        sys.stderr.write(f"{exc}\n")
        return 1
    return 0


def run(data: Path, port: int, *, with_gateway: bool) -> None:
    """Run the sandbox until a signal or the end of one of its parts.

    Raises:
        StartFailed: something did not start, or has ended.
    """
    for number in _STOP_SIGNALS:
        if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    began = time.monotonic()
    sandbox = Sandbox(data, port)
    try:
        sandbox.start_ground(for_gateway=with_gateway)
        if with_gateway:
            # A line of its own: the gateway's log comes in between.
            say("starting the gateway …")
            sandbox.start_gateway()
            say(_invitation(sandbox))
        else:
            say(_exports(sandbox))
        say(strong(f"ready in {time.monotonic() - began:.1f} s") + ", until Ctrl-C")
        sandbox.watch()
    except KeyboardInterrupt:
        say("\nstopping …")
    finally:
        for number in _STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        sandbox.stop()


def token(data: Path, email: str) -> str:
    """Return a fresh access token of the sandbox's Supabase Auth for this user, made when new.

    Raises:
        StartFailed: no sandbox runs on this data directory, or a real Supabase is behind it.
    """
    running = RunRecord(data).read()
    if running is None:
        raise StartFailed("The sandbox does not run. Start it: make run")
    if "supabase" not in running["stand_ins"]:
        raise StartFailed("SUPABASE_URL names a real Supabase: sign in there for a token.")
    return _mint(running["stand_ins"]["supabase"], email)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m gateway_project.sandbox", description=__doc__)
    parser.add_argument(
        "--data", type=lambda text: Path(text).resolve(), default=data_directory(), metavar="DIR"
    )
    parser.add_argument("--port", type=int, default=os.environ.get("PORT") or _DEFAULT_PORT)
    parser.add_argument("--without-gateway", action="store_true", help="only engines and stand-ins")
    commands = parser.add_subparsers(dest="command", metavar="token EMAIL")
    commands.add_parser("token", help="print a token for a user").add_argument("email")
    return parser


def _invitation(sandbox: Sandbox) -> str:
    login = f"   {' / '.join(sandbox.staff)}" if sandbox.staff else ""
    lines = [
        "",
        f"  API       {sandbox.url}/api/v1",
        f"  Docs      {sandbox.url}/docs",
        f"  Admin     {sandbox.url}/admin/{login}",
        f"  Metrics   {sandbox.url}/metrics",
        "",
        strong("A streamed answer:"),
        "",
        _curl(sandbox),
        "",
        f"A token for anybody: make token EMAIL={_EXAMPLE_EMAIL}",
        "",
    ]
    return "\n".join(lines)


def _curl(sandbox: Sandbox) -> str:
    supabase = sandbox.stand_ins.get("supabase")
    bearer = _mint(supabase, _EXAMPLE_EMAIL) if supabase else "YOUR-SUPABASE-ACCESS-TOKEN"
    model = "sandbox-chat" if "litellm" in sandbox.stand_ins else "YOUR-MODEL"
    body = f'{{"model": "{model}", "stream": true, "messages": '
    body += '[{"role": "user", "content": "Hello, gateway. Do you stream?"}]}'
    return (
        f"curl -N {sandbox.url}/api/v1/llm/chat/completions \\\n"
        f"  -H 'Authorization: Bearer {bearer}' \\\n"
        f"  -H 'Content-Type: application/json' \\\n"
        f"  -d '{body}'"
    )


def _exports(sandbox: Sandbox) -> str:
    values = sandbox.environment().items()
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in values)


def _mint(url: str, email: str) -> str:
    wish = {"email": email, "claims": {"exp": int(time.time()) + _TOKEN_SECONDS}}
    try:
        answer = RestClient(base_url=url).call("POST", "/_sandbox/mint", payload=wish)
    except GatewayError as exc:
        raise StartFailed(f"The stand-in for Supabase Auth gave no token: {exc}") from exc
    minted: str = answer.json()["access_token"]
    return minted


if __name__ == "__main__":
    sys.exit(main())
