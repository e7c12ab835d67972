"""Who calls the control plane: simplejwt's shell around our verifier and our users."""

from __future__ import annotations

from typing import Any

from rest_framework_simplejwt.authentication import JWTAuthentication

from accounts.models import User
from accounts.principals.identify import identify_token_sync
from accounts.principals.memory import forget_user
from accounts.principals.principal import Scheme
from accounts.tokens.bearer import bearer_token
from accounts.tokens.reasons import Reason, refuse
from gateway_core import context
from gateway_core.errors import AccountSuspended, ScopeMissing


class SupabaseAuthentication(JWTAuthentication):
    """Access tokens of Supabase Auth. ``request.user`` is a User, ``request.auth`` a Principal.

    Nothing that a token claims makes anybody staff: that is a column of ours.
    """

    www_authenticate_realm = "gateway"

    def get_raw_token(self, header: bytes) -> bytes:
        """Return the token of the header."""
        return bearer_token(header)

    def get_validated_token(self, raw_token: bytes) -> Any:  # simplejwt says Token
        """Return the Principal of the token; raises as ``identify`` does.

        Raises:
            ScopeMissing: the token is no sign-in: what manages an account is not for keys.
        """
        principal = identify_token_sync(raw_token)
        if principal.scheme is not Scheme.SUPABASE:
            raise ScopeMissing("Keys open models and agents only. Sign in for this.")
        return principal

    def get_user(self, validated_token: Any) -> Any:
        """Return the User of a principal, who may have changed since it was remembered."""
        user = User.objects.filter(pk=validated_token.user_id).first()
        if user is None:
            forget_user(validated_token.user_id)
            raise refuse(Reason.ACCOUNT_GONE)
        if not user.is_active:
            forget_user(user.pk)
            raise AccountSuspended
        record = context.current.get()
        if record is not None:
            record.user_id = str(user.pk)
        return user
