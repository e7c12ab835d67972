from __future__ import annotations

from typing import Any

import pytest
from drf_spectacular.generators import SchemaGenerator


@pytest.mark.filterwarnings("default")
def test_the_document_says_how_to_sign_in_and_what_me_answers() -> None:
    generator: Any = SchemaGenerator  # not typed
    document = generator().get_schema(request=None, public=True)
    scheme = document["components"]["securitySchemes"]["supabase"]
    assert (scheme["type"], scheme["scheme"], scheme["bearerFormat"]) == ("http", "bearer", "JWT")
    operation = document["paths"]["/api/v1/me"]["get"]
    assert operation["security"] == [{"supabase": []}]
    answer = document["components"]["schemas"]["Me"]
    assert set(answer["properties"]) >= {"id", "email", "is_anonymous", "created_at"}
