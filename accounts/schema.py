"""How the OpenAPI document describes the tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension

if TYPE_CHECKING:
    from drf_spectacular.openapi import AutoSchema


class SupabaseScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """A bearer JWT in the Authorization header."""

    target_class = "accounts.authentication.SupabaseAuthentication"
    name = "supabase"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:  # noqa: ARG002
        """Return the security scheme object."""
        return {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "The access_token of a Supabase session.",
        }
