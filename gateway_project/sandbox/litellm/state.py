"""What the proxy's database holds, and the spending that goes into it."""

from __future__ import annotations

import hashlib
import re
import secrets
import time
import uuid
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from gateway_project.sandbox.litellm.problems import ProxyError

Row = dict[str, Any]

_DURATION: Final = re.compile(r"(\d+)(s|m|h|d|w|mo)")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "mo": 2592000}
_WINDOW_SECONDS: Final = 60
_KEPT_LOGS: Final = 5000

_KEY_FIELDS: Final[Row] = {
    "key_alias": None,
    "user_id": None,
    "team_id": None,
    "models": [],
    "aliases": {},
    "config": {},
    "permissions": {},
    "metadata": {},
    "max_budget": None,
    "soft_budget": None,
    "budget_duration": None,
    "budget_id": None,
    "tpm_limit": None,
    "rpm_limit": None,
    "tpd_limit": None,
    "max_parallel_requests": None,
    "allowed_routes": [],
    "allowed_cache_controls": [],
    "key_type": "default",
    "blocked": None,
}
_USER_FIELDS: Final[Row] = {
    "user_email": None,
    "user_alias": None,
    "user_role": None,
    "team_id": None,
    "teams": [],
    "models": [],
    "metadata": {},
    "max_budget": None,
    "budget_duration": None,
    "tpm_limit": None,
    "rpm_limit": None,
    "max_parallel_requests": None,
    "allowed_cache_controls": [],
    "policies": [],
    "model_spend": {},
    "model_max_budget": {},
    "object_permission": None,
}


@dataclass(slots=True)
class Window:
    """What one key has used in the current minute, and what of it runs right now."""

    ends: float = 0.0
    requests: int = 0
    tokens: int = 0
    running: int = 0


class State:
    """Everything, as plain JSON values.

    Args:
        master_key: the key of the proxy's administrator.
    """

    def __init__(self, master_key: str) -> None:
        self.master_key = master_key
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.users: dict[str, Row] = {}
        self.keys: dict[str, Row] = {}
        self.logs: list[Row] = []
        self.windows: defaultdict[str, Window] = defaultdict(Window)
        self.clock_offset = 0.0

    def as_dict(self) -> Row:
        """Return everything, for the snapshot."""
        return {"users": self.users, "keys": self.keys, "logs": self.logs}

    def load(self, values: Row) -> None:
        """Take over a snapshot."""
        self.users, self.keys, self.logs = values["users"], values["keys"], values["logs"]

    def now(self) -> datetime:
        """Return the proxy's time, which tests may shift."""
        return datetime.fromtimestamp(time.time() + self.clock_offset, UTC)

    def timestamp(self, after_seconds: float = 0) -> str:
        """Return a point in time as the API writes it."""
        return (self.now() + timedelta(seconds=after_seconds)).isoformat()

    def add_key(self, wish: Row) -> tuple[str, Row]:
        """Add a key; for a value that exists already the first row stays.

        Returns:
            the key's value and a row made from ``wish``, which is what the API answers with even
            when it is not what is stored.
        """
        value = wish.get("key") or f"sk-{secrets.token_urlsafe(16)}"
        token = token_of(value)
        row = _fields(_KEY_FIELDS, wish) | {
            "token": token,
            "key_name": f"sk-...{value[-4:]}",
            "spend": wish.get("spend") or 0.0,
            "total_spend": wish.get("spend") or 0.0,
            "expires": self.timestamp(seconds_of(wish["duration"]))
            if wish.get("duration")
            else None,
            "budget_reset_at": self.next_reset(wish.get("budget_duration")),
            "created_at": self.timestamp(),
            "created_by": "default_user_id",
            "updated_at": self.timestamp(),
            "updated_by": "default_user_id",
            "last_active": None,
            "rotation_count": 0,
            "auto_rotate": False,
        }
        if row["key_type"] == "llm_api":
            row["allowed_routes"] = ["llm_api_routes"]
        stored = self.keys.get(token)
        if stored is None or stored.get("status") == "deleted":
            self.keys[token] = row
        return value, row

    def add_user(self, wish: Row) -> Row:
        """Add a user."""
        user_id = wish.get("user_id") or str(uuid.uuid4())
        row = _fields(_USER_FIELDS, wish) | {
            "user_id": user_id,
            "spend": wish.get("spend") or 0.0,
            "budget_reset_at": self.next_reset(wish.get("budget_duration")),
            "created_at": self.timestamp(),
            "updated_at": self.timestamp(),
        }
        self.users[user_id] = row
        return row

    def update(self, row: Row, wish: Row, *, identity: frozenset[str]) -> None:
        """Change the members of a row that ``wish`` names, metadata as a whole."""
        known = (row.keys() & wish.keys()) - identity
        row |= {name: wish[name] for name in known}
        if "budget_duration" in wish:
            row["budget_reset_at"] = self.next_reset(wish["budget_duration"])
        row["updated_at"] = self.timestamp()

    def next_reset(self, duration: str | None) -> str | None:
        """Return when a budget of this period is renewed: days are calendar ones."""
        if not duration:
            return None
        today = self.now().replace(hour=0, minute=0, second=0, microsecond=0)
        if duration == "7d":
            return (today + timedelta(days=7 - today.weekday())).isoformat()
        if duration == "30d":
            return (today.replace(day=1) + timedelta(days=32)).replace(day=1).isoformat()
        if duration.endswith("d"):
            return (today + timedelta(seconds=seconds_of(duration))).isoformat()
        return self.timestamp(seconds_of(duration))

    def find_key(self, key: str) -> Row | None:
        """Return the row of a key that is not deleted, by value or by hash."""
        row = self.keys.get(token_of(key)) or self.keys.get(key)
        return None if row is None or row.get("status") == "deleted" else row

    def live_keys(self) -> list[Row]:
        """Return the keys that are not deleted, newest first."""
        return [key for key in reversed(self.keys.values()) if key.get("status") != "deleted"]

    def delete_key(self, row: Row) -> None:
        """Delete a key; its information can still be asked for."""
        row |= {
            "status": "deleted",
            "deleted_at": self.timestamp(),
            "deleted_by": "default_user_id",
        }

    def renew_budget(self, row: Row) -> None:
        """Start a new budget period for a key or user whose last one is over."""
        reset_at = row.get("budget_reset_at")
        if reset_at and datetime.fromisoformat(reset_at) <= self.now():
            row |= {"spend": 0.0, "budget_reset_at": self.next_reset(row["budget_duration"])}

    def window(self, token: str) -> Window:
        """Return a key's current minute."""
        window = self.windows[token]
        now = self.now().timestamp()
        if window.ends <= now:
            window.ends, window.requests, window.tokens = now + _WINDOW_SECONDS, 0, 0
        return window

    def record(self, entry: Row) -> None:
        """Count a call's cost on key and user, and log it; a row of a known id is dropped."""
        if all(row["request_id"] != entry["request_id"] for row in self.logs):
            self.logs.append(entry)
            del self.logs[:-_KEPT_LOGS]
        key = self.keys.get(entry["api_key"])
        if key is not None:
            key["spend"] += entry["spend"]
            key["total_spend"] += entry["spend"]
            key["last_active"] = entry["endTime"]
            self.window(key["token"]).tokens += entry["total_tokens"]
        if user := self.users.get(entry["user"]):
            user["spend"] += entry["spend"]
            self.window(user["user_id"]).tokens += entry["total_tokens"]


def token_of(key: str) -> str:
    """Return what the database keeps of a key's value."""
    return hashlib.sha256(key.encode()).hexdigest()


def seconds_of(duration: str) -> int:
    """Return the seconds of ``30d`` and the like.

    Raises:
        ProxyError: 500, as the real one.
    """
    found = _DURATION.fullmatch(str(duration))
    if found is None:
        raise ProxyError(500, "internal_server_error", "Invalid duration format")
    return int(found[1]) * _SECONDS[found[2]]


def _fields(defaults: Row, wish: Row) -> Row:
    return {name: wish.get(name, default) for name, default in defaults.items()}
