"""Usage records, made of audit events.

A call's event is on the spool before its last byte goes out, and arrives in the database once,
whatever becomes of this process. Its usage record comes with it: a request pays nothing for it.
"""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.db import connection

# No text in the array has these: its quotation marks are escaped.
_MARKS: Final = ('"call_id":', '"turn":')
# How much longer than an open call a stream waits until it is looked up: LiteLLM has it by then, so
# that once is enough.
_STREAM_WAITS: Final = 5


def project(document: str) -> None:
    """Make the records of the calls and turns among these events, see ``audit.projections``.

    An event is a call's when its facts have a ``call_id``, and a turn's when they have ``turn``. A
    call that LiteLLM's log has told of already keeps that record.
    """
    if not any(mark in document for mark in _MARKS):
        return
    with connection.cursor() as cursor:
        seconds = settings.USAGE_COLLECT_SECONDS
        cursor.execute(_INSERT, [seconds, seconds * _STREAM_WAITS, document])


_INSERT: Final = """
INSERT INTO llm_proxy_usagerecord (
    id, at, kind, source, user_id, virtual_key_id, api_key_id, agent_id, model, operation,
    call_id, request_id, tokens_in, tokens_out, cost, look_at, status, code
)
SELECT
    event.id,
    event.at - event.duration_ms * interval '1 millisecond',
    CASE WHEN is_call THEN 'call' ELSE 'turn' END,
    'gateway',
    event.user_id,
    (facts->>'virtual_key_id')::uuid,
    (facts->>'api_key_id')::uuid,
    left(coalesce(facts->>'agent', ''), 64),
    left(coalesce(facts->>'model', ''), 256),
    left(event.action, 64),
    left(coalesce(facts->>'call_id', ''), 128),
    left(event.request_id, 64),
    (facts->>'tokens_in')::bigint,
    (facts->>'tokens_out')::bigint,
    cost,
    CASE
        WHEN NOT is_call THEN NULL
        WHEN cost IS NULL THEN event.at + %s * interval '1 second'
        WHEN facts ? 'provisional' THEN event.at + %s * interval '1 second'
    END,
    event.status,
    left(event.code, 64)
FROM
    jsonb_to_recordset(%s::jsonb) AS event(
        id uuid, at timestamptz, plane text, action text, user_id uuid, request_id text,
        status smallint, code text, duration_ms float8, facts jsonb
    )
    CROSS JOIN LATERAL (
        SELECT facts ? 'call_id' AS is_call, (facts->>'cost')::numeric AS cost
    ) AS told
WHERE plane = 'data' AND user_id IS NOT NULL AND (is_call OR facts ? 'turn')
ON CONFLICT DO NOTHING
"""
