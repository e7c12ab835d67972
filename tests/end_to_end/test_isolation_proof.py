"""The proof that nobody reaches what is not theirs, run as an operator runs it, on a real Letta."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from gateway_project.sandbox import supabase as supabase_stand_in
from tests.end_to_end import gateway_process
from tests.end_to_end.models import AGENT_EMBEDDING, AGENT_MODEL

if TYPE_CHECKING:
    from pathlib import Path

    from tests.end_to_end.gateway_process import Gateway
    from tests.end_to_end.people import Supabase
    from tests.end_to_end.upstream_views import Upstreams


@pytest.mark.timeout(900)
def test_proves_isolation(
    gateway: Gateway, upstreams: Upstreams, supabase: Supabase, tmp_path: Path
) -> None:
    report = tmp_path / "report.json"
    settings = {
        **gateway_process.no_settings(),
        **upstreams.settings,
        "SUPABASE_URL": supabase.url,
        "SUPABASE_KEY": supabase_stand_in.PUBLISHABLE_KEY,
        "SUPABASE_SERVICE_KEY": supabase_stand_in.SECRET_KEY,
        "SANDBOX_DIR": str(gateway.log.parent / "sandbox"),  # whose database is the gateway's
    }
    command = [
        *(sys.executable, "manage.py", "prove_isolation"),
        *("--base-url", gateway.url, "--sandbox-auth", supabase.url),
        *("--model", AGENT_MODEL, "--embedding", AGENT_EMBEDDING, "--json", str(report)),
    ]

    done = subprocess.run(
        command, env=os.environ | settings, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    proved = json.loads(report.read_text())
    assert proved["findings"] == []
    assert proved["untried"] == []
    assert proved["total"]["offered"] + proved["total"]["closed"] == 249
    assert proved["total"]["requests"] > 2000
    assert done.stdout.splitlines()[-1].endswith(" 0 findings")
