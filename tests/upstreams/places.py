"""Where things are: folders, ports and credentials, each overridable by the environment."""

from __future__ import annotations

import os
from pathlib import Path

HERE = Path(__file__).resolve().parent
PINS = HERE.parent.parent / "requirements" / "upstreams"


def _default_home() -> Path:
    """PostgreSQL refuses to run as root, and the user it runs as instead can't look into root's home."""
    if os.geteuid() == 0:
        return Path("/var/tmp/gateway-upstreams")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gateway-upstreams"


def _port(name: str, default: int) -> int:
    return int(os.environ.get(name) or default)


HOME = Path(os.environ.get("UPSTREAMS_HOME") or _default_home()).absolute()
RUN = HOME / "run"

LETTA_PORT = _port("LETTA_PORT", 8283)
LITELLM_PORT = _port("LITELLM_PORT", 4000)
MODEL_STUB_PORT = _port("MODEL_STUB_PORT", 18001)
FAST_STUB_PORT = _port("FAST_STUB_PORT", 18110)
POSTGRES_PORT = _port("UPSTREAMS_POSTGRES_PORT", 18432)
VALKEY_PORT = _port("UPSTREAMS_VALKEY_PORT", 18379)

LETTA_API_KEY = os.environ.get("LETTA_API_KEY") or "s3cret"
LITELLM_MASTER_KEY = os.environ.get("LITELLM_MASTER_KEY") or "sk-master-1234"

MODEL_STUB_URL = f"http://127.0.0.1:{MODEL_STUB_PORT}"
FAST_STUB_URL = f"http://127.0.0.1:{FAST_STUB_PORT}"

GATEWAY_ENVIRONMENT = {
    "LETTA_BASE_URL": f"http://127.0.0.1:{LETTA_PORT}",
    "LETTA_API_KEY": LETTA_API_KEY,
    "LITELLM_BASE_URL": f"http://127.0.0.1:{LITELLM_PORT}",
    "LITELLM_MASTER_KEY": LITELLM_MASTER_KEY,
}
STUB_ADDRESSES = {"MODEL_STUB_URL": MODEL_STUB_URL, "FAST_STUB_URL": FAST_STUB_URL}


def database_url(name: str) -> str:
    """The databases trust every local connection, so there is no password to keep."""
    return f"postgresql://postgres:postgres@127.0.0.1:{POSTGRES_PORT}/{name}"
