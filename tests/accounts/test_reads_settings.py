from __future__ import annotations

from pytest_django import Settings

from accounts import conf


def test_builds_the_policy_that_the_settings_describe(settings: Settings) -> None:
    settings.SUPABASE_JWT_SECRETS = ("x" * 32, "y" * 32)
    settings.SUPABASE_ALGORITHMS = ("ES256", "HS256")
    settings.SUPABASE_ISSUERS = ("https://a.test", "https://b.test")
    settings.ALLOW_ANONYMOUS_USERS = False
    policy = conf.token_policy()
    assert policy.secrets == (b"x" * 32, b"y" * 32)
    assert policy.algorithms == {"ES256"}
    assert policy.issuers == {"https://a.test", "https://b.test"}
    assert not policy.allow_anonymous
    assert (policy.leeway_seconds, policy.max_lifetime_seconds) == (30, 7 * 86400 + 1200)


def test_checks_no_issuer_when_the_settings_say_none(settings: Settings) -> None:
    settings.SUPABASE_ISSUERS = ("none",)
    assert conf.token_policy().issuers == frozenset()


def test_makes_a_new_verifier_when_a_setting_changes(settings: Settings) -> None:
    before = conf.verifier()
    assert conf.verifier() is before
    settings.SUPABASE_AUDIENCE = "another"
    assert conf.verifier() is not before


def test_asks_no_key_server_where_none_is_configured(settings: Settings) -> None:
    settings.SUPABASE_JWKS_URL = ""
    assert conf.verifier().store is None
