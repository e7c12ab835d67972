"""What the stand-in holds: users, sessions, refresh tokens, signing keys and its clock."""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
import uuid
from datetime import UTC, datetime
from typing import Any, Final

import jwt

from gateway_project.sandbox.supabase.keys import new_key, public_jwk, sign

# The credentials of this sandbox are published, as it holds nothing and listens on loopback only.
PUBLISHABLE_KEY: Final = "sb_publishable_sandboxsandboxsandboxs_sandboxs"
SECRET_KEY: Final = "sb_secret_sandboxsandboxsandboxs_sandboxs"
LEGACY_SECRET: Final = "sandbox-jwt-secret-with-at-least-32-characters"
DEFAULT_PASSWORD: Final = "sandbox-password"
TOKEN_SECONDS: Final = 3600

Record = dict[str, Any]


class State:
    """Everything, as plain JSON values, and the rules by which it changes.

    Args:
        url: the stand-in's own address, which becomes the issuer.
    """

    def __init__(self, url: str) -> None:
        self.issuer = f"{url}/auth/v1"
        self._first_key = new_key("ES256", "in_use")
        self.reset()

    def reset(self) -> None:
        """Forget everything but the first key, which others may have cached."""
        self.users: dict[str, Record] = {}
        self.passwords: dict[str, str] = {}
        self.sessions: dict[str, Record] = {}
        self.refresh_tokens: dict[str, str] = {}
        self.keys: list[Record] = [dict(self._first_key)]
        self.clock_offset = 0.0

    def as_dict(self) -> Record:
        """Return everything, for the snapshot."""
        names = ("users", "passwords", "sessions", "refresh_tokens", "keys")
        return {name: getattr(self, name) for name in names}

    def load(self, values: Record) -> None:
        """Take over a snapshot."""
        for name, value in values.items():
            setattr(self, name, value)

    def now(self) -> int:
        """Return this server's time in seconds, which tests may shift."""
        return int(time.time() + self.clock_offset)

    def timestamp(self) -> str:
        """Return this server's time as the API writes it."""
        return datetime.fromtimestamp(self.now(), UTC).isoformat().replace("+00:00", "Z")

    def find_user(self, email: str) -> Record | None:
        """Return the user with this address."""
        return next((user for user in self.users.values() if user["email"] == email.lower()), None)

    def add_user(self, email: str, password: str = "", **members: Any) -> Record:
        """Add a user; an empty address makes an anonymous one.

        Args:
            email: address, kept in lower case.
            password: what ``check_password`` will accept.
            members: ``user_metadata`` and ``app_metadata`` on top of the usual ones, ``id``.
        """
        user = self._keep_user(email, members)
        self.set_password(user["id"], password or DEFAULT_PASSWORD)
        return user

    def add_users(self, emails: list[str]) -> list[str]:
        """Add many users of one password and return their ids."""
        ids: list[str] = [self._keep_user(email, {})["id"] for email in emails]
        if ids:
            self.set_password(ids[0], DEFAULT_PASSWORD)
            self.passwords |= dict.fromkeys(ids, self.passwords[ids[0]])
        return ids

    def _keep_user(self, email: str, members: Record) -> Record:
        user_id = members.get("id") or str(uuid.uuid4())
        now = self.timestamp()
        provider = {"provider": "email", "providers": ["email"]} if email else {}
        user = {
            "id": user_id,
            "aud": "authenticated",
            "role": "authenticated",
            "email": email.lower(),
            "phone": "",
            "app_metadata": provider | (members.get("app_metadata") or {}),
            "user_metadata": members.get("user_metadata") or {},
            "identities": [_identity(user_id, email.lower(), now)] if email else [],
            "created_at": now,
            "updated_at": now,
            "is_anonymous": not email,
        }
        if email:
            user |= {"email_confirmed_at": now, "confirmed_at": now}
        self.users[user_id] = user
        return user

    def remove_user(self, user_id: str) -> None:
        """Delete a user with all sessions."""
        del self.users[user_id]
        self.passwords.pop(user_id, None)
        self.end_sessions(user_id)

    def set_password(self, user_id: str, password: str) -> None:
        """Set a password."""
        salt = secrets.token_bytes(16)
        self.passwords[user_id] = base64.b64encode(salt + _derive(password, salt)).decode()

    def check_password(self, user_id: str, password: str) -> bool:
        """Say whether this is the user's password."""
        stored = base64.b64decode(self.passwords[user_id])
        return secrets.compare_digest(stored[16:], _derive(password, stored[:16]))

    def is_banned(self, user: Record) -> bool:
        """Say whether the user's ban lasts still."""
        until = user.get("banned_until")
        return until is not None and datetime.fromisoformat(until).timestamp() > self.now()

    def sign_in(self, user: Record, method: str) -> Record:
        """Open a session and return what the API answers with: tokens and user."""
        session_id = str(uuid.uuid4())
        self.sessions[session_id] = {
            "user_id": user["id"],
            "amr": [{"method": method, "timestamp": self.now()}],
        }
        user["last_sign_in_at"] = self.timestamp()
        return self.issue(session_id)

    def issue(self, session_id: str) -> Record:
        """Return fresh tokens for a session."""
        user = self.users[self.sessions[session_id]["user_id"]]
        claims = self.claims(session_id)
        refresh_token = secrets.token_hex(6)
        self.refresh_tokens[refresh_token] = session_id
        return {
            "access_token": self.sign(claims),
            "token_type": "bearer",
            "expires_in": TOKEN_SECONDS,
            "expires_at": claims["exp"],
            "refresh_token": refresh_token,
            "user": user,
        }

    def end_sessions(
        self, user_id: str, *, only: str | None = None, but: str | None = None
    ) -> None:
        """End a user's sessions: all, only one, or all but one."""
        gone = {
            session_id
            for session_id, session in self.sessions.items()
            if session["user_id"] == user_id and only in {None, session_id} and session_id != but
        }
        self.sessions = {key: value for key, value in self.sessions.items() if key not in gone}
        self.refresh_tokens = {k: v for k, v in self.refresh_tokens.items() if v not in gone}

    def claims(self, session_id: str) -> Record:
        """Return the claims of a token for this session, in GoTrue's order."""
        session = self.sessions[session_id]
        user = self.users[session["user_id"]]
        return {
            "iss": self.issuer,
            "sub": user["id"],
            "aud": user["aud"],
            "exp": self.now() + TOKEN_SECONDS,
            "iat": self.now(),
            "email": user["email"],
            "phone": user["phone"],
            "app_metadata": user["app_metadata"],
            "user_metadata": user["user_metadata"],
            "role": user["role"],
            "aal": "aal1",
            "amr": session["amr"],
            "session_id": session_id,
            "is_anonymous": user["is_anonymous"],
        }

    def sign(self, claims: Record) -> str:
        """Return a token signed with the key in use."""
        key = next(key for key in self.keys if key["state"] == "in_use")
        return sign(claims, {"kid": key["kid"]}, key["pem"], key["alg"])

    def read(self, token: str) -> Record:
        """Return a token's claims.

        Raises:
            jwt.InvalidTokenError: it is not one of ours, or it has expired.
        """
        key = self._verification_key(jwt.get_unverified_header(token))
        claims = jwt.decode(
            token,
            key,
            algorithms=["ES256", "RS256", "EdDSA", "HS256"],
            options={"verify_aud": False, "verify_exp": False, "verify_iat": False},
        )
        if claims.get("exp", 0) <= self.now() and "sub" in claims:
            raise jwt.ExpiredSignatureError("token is expired")
        return claims

    def _verification_key(self, header: Record) -> Any:
        if header.get("alg") == "HS256":
            return LEGACY_SECRET
        for key in self.keys:
            if key["kid"] == header.get("kid") and key["alg"] == header.get("alg"):
                return jwt.PyJWK.from_dict(public_jwk(key)).key
        raise jwt.InvalidTokenError("unrecognized JWT kid")


def _identity(user_id: str, email: str, now: str) -> Record:
    return {
        "identity_id": str(uuid.uuid4()),
        "id": user_id,
        "user_id": user_id,
        "identity_data": {
            "email": email,
            "email_verified": False,
            "phone_verified": False,
            "sub": user_id,
        },
        "provider": "email",
        "last_sign_in_at": now,
        "created_at": now,
        "updated_at": now,
        "email": email,
    }


def _derive(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=1024, r=8, p=1)
