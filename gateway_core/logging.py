"""One structured line for each event, the same for our own code, Django and libraries.

JSON in production, a coloured console in development. Never bodies, tokens or prompts: values
under sensitive names are replaced before they are rendered, and what has the form of a secret in
what was rendered, whoever wrote it.
"""

from __future__ import annotations

import logging
import re
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import orjson
import structlog

from gateway_core import context

if TYPE_CHECKING:
    from collections.abc import MutableMapping

REDACTED: Final = "[redacted]"

_CONTAINERS: Final = (dict, list, tuple)

_SENSITIVE: Final = re.compile(
    r"password|passwd|secret|authorization|jwt|api_?key|bearer|credential|cookie"
    r"|(^|_)(token|key|auth)$",
    re.IGNORECASE,
)
# By which secrets are known wherever they stand: first whether there may be any, which costs less,
# then which. The gateway's own, LiteLLM's, signed tokens, and what a header presents.
_MARKS: Final = ("gwk_", "gws_", "sk-", "eyJ", "earer ")
# Strangers choose much of what is searched, so nothing is read twice: of a run of letters only the
# first `eyJ` is looked at, with what stands before it, and none is given back.
_SECRETS: Final = re.compile(
    r"gw[ks]_[\w%-]{16,}+|\bsk-[\w-]{8,}+"
    r"|(?<![\w-])(?>[\w-]*?\beyJ)[\w-]++\.[\w-]++\.[\w-]*+"
    r"|(?<=\b[Bb]earer )[\w.~+/=-]{16,}+",
    re.ASCII,
)
_LONGEST: Final = 32 * 1024
# Servers that write a line of their own for each request, with its whole path and query.
_SERVERS: Final = ("uvicorn.access", "django.channels.server", "django.server")
# Libraries that speak of every request or query at INFO.
_NOISY: Final = ("asyncio", "aiohttp", "urllib3", "daphne", "httpx", "httpcore")


@lru_cache(maxsize=1024)
def is_sensitive(name: str) -> bool:
    """Say whether values under this name are never shown. The id of a secret is none."""
    return _SENSITIVE.search(name) is not None and not name.endswith("_id")


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace the values under sensitive names, at any depth."""
    for name, value in event.items():
        if value and type(name) is str and is_sensitive(name):
            event[name] = REDACTED
        elif type(value) in _CONTAINERS:
            event[name] = _redacted(value)
    return event


def _redacted(value: Any) -> Any:
    if isinstance(value, dict):
        return redact(None, "", dict(value))
    if isinstance(value, list | tuple):
        return [_redacted(item) for item in value]
    return value


def shorten(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Cut the texts that are longer than 32,768 characters: what is read below costs by length."""
    for name, value in event.items():
        if type(value) is str and len(value) > _LONGEST:
            event[name] = f"{value[:_LONGEST]}…"
    return event


def mask(_logger: Any, _method: str, line: Any) -> str:
    """Replace what has the form of a secret, in a line that is ready to be written."""
    for mark in _MARKS:
        if mark in line:
            return _SECRETS.sub(REDACTED, line)
    return str(line)


def _name_logger(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Call it what libraries' lines call it; structlog has that word for an argument of its own."""
    name = event.pop("logger_name", None)
    if name is not None:
        event["logger"] = name
    return event


def _add_request_id(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    record = context.current.get()
    if record is not None:
        event.setdefault("request_id", record.request_id)
    return event


def _dumps(event: Any, **_options: Any) -> str:
    return orjson.dumps(event, default=str).decode()


def configure(options: dict[str, str]) -> None:
    """Set up logging once for the process. Django calls this (``LOGGING_CONFIG``).

    Args:
        options: ``level`` (a logging level name), ``format`` (``json`` or ``console``),
            ``service`` and ``environment`` (added to each line).
    """
    fixed = {"service": options["service"], "environment": options["environment"]}

    def add_fixed(
        _logger: Any, _method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        event.update(fixed)
        return event

    is_json = options["format"] == "json"
    shared: list[Any] = [
        _name_logger,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_request_id,
        redact,
    ]
    if is_json:
        shared.insert(0, add_fixed)
        shared += [structlog.processors.format_exc_info, shorten]
        renderer: Any = structlog.processors.JSONRenderer(serializer=_dumps)
    else:
        shared.append(shorten)
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    level = logging.getLevelNamesMapping().get(options["level"], logging.INFO)
    structlog.configure(
        processors=[*shared, renderer, mask],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    _configure_stdlib(level, shared, renderer)


def _configure_stdlib(level: int, shared: list[Any], renderer: Any) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer, mask],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in list(logging.root.manager.loggerDict):
        if name.startswith(("uvicorn", "django", "daphne")):
            logger = logging.getLogger(name)
            logger.handlers.clear()
            logger.propagate = True
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
    # The canonical line tells of each 4xx. What broke a view is told here.
    logging.getLogger("django.request").setLevel(logging.ERROR)
    logging.getLogger("django.security.DisallowedHost").setLevel(logging.CRITICAL)
    logging.getLogger("uvicorn.error").addFilter(_is_about_the_server)
    # The canonical line replaces the server's own. With neither handler nor parent, uvicorn doesn't
    # even format it; others' warnings would go to Python's last resort then.
    for name in _SERVERS:
        logger = logging.getLogger(name)
        logger.propagate, logger.disabled = False, True


def _is_about_the_server(record: logging.LogRecord) -> bool:
    """Say whether a line of uvicorn's is about itself; of WebSockets it tells path and query."""
    return '"WebSocket ' not in str(record.msg)


def get_logger(name: str) -> Any:
    """Return a logger whose events carry this name."""
    return structlog.get_logger(logger_name=name)
