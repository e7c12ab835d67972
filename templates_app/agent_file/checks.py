"""What a shape can't say: versions, labels, limits, and migrations that run no code."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from templates_app.agent_file import versions
from templates_app.agent_file.faults import Fault
from templates_app.agent_file.places import one_value, values

if TYPE_CHECKING:
    from collections.abc import Iterator

    from templates_app.agent_file.versions import SemVer

_VERSIONS: Final = (
    "/template/version",
    "/compat/letta_min",
    "/migrations/*/from",
    "/migrations/*/to",
)
# What makes an interpreter, a shell or a linker run other code: Letta starts tools with all of it.
_OBEYED: Final = re.compile(
    r"(LD_|DYLD_|BASH_|GIT_SSH|GIT_CONFIG|PERL5|PYTHON)[A-Z0-9_]*|_?JAVA_(TOOL_)?OPTIONS"
    r"|NODE_(OPTIONS|PATH)|(PERL|RUBY)LIB|RUBYOPT|GCONV_PATH|GIT_EXEC_PATH|SHELLOPTS|PATH|ENV|IFS"
    r"|PS4|BROWSER|EDITOR|PAGER|VISUAL"
).fullmatch
# Letta puts all memory in the place of each.
_MEMORY: Final = "{CORE_MEMORY}"
_NO_SCRIPTS: Final = (
    "must be json_patch: the gateway runs no foreign code. Write the change as RFC 6902"
)


def content_faults(document: Any) -> Iterator[Fault]:
    """Yield what is wrong with the values of a file, whatever shape it has."""
    yield from _versions(document)
    yield from _prompt(document)
    yield from _blocks(document)
    yield from _environment(document)
    yield from _steps(document)
    yield from _migrations(document)


def doubts(document: Any) -> Iterator[Fault]:
    """Yield what may be a mistake: models that ``compat`` does not list."""
    for model, listed in (("model", "models"), ("embedding", "embeddings")):
        chosen = one_value(document, f"/engine/{model}", str)
        tried = one_value(document, f"/compat/{listed}", list)
        if chosen is not None and tried and chosen not in tried:
            yield Fault(f"/engine/{model}", f"is not listed in /compat/{listed}")


def _versions(document: Any) -> Iterator[Fault]:
    for place in _VERSIONS:
        for pointer, text in values(document, place, str):
            if _version(text) is None:
                yield Fault(pointer, versions.COMPLAINT)


def _prompt(document: Any) -> Iterator[Fault]:
    for pointer, text in values(document, "/persona/system_prompt", str):
        if text.count(_MEMORY) > 1:
            yield Fault(pointer, f"may have {_MEMORY} once only")


def _blocks(document: Any) -> Iterator[Fault]:
    labels: set[str] = set()
    for pointer, label in values(document, "/memory_layout/blocks/*/label", str):
        if label in labels:
            yield Fault(pointer, "is the label of another block")
        labels.add(label)
    for pointer, block in values(document, "/memory_layout/blocks/*", dict):
        value, limit = block.get("value"), block.get("limit")
        if isinstance(value, str) and isinstance(limit, int) and len(value) > limit:
            yield Fault(f"{pointer}/value", f"must have at most {limit} characters, its limit")


def _environment(document: Any) -> Iterator[Fault]:
    for pointer, _ in values(document, "/tool_env/*", object):
        if _OBEYED(pointer.removeprefix("/tool_env/")):
            yield Fault(pointer, "has a name that the system itself obeys. Choose another")


def _steps(document: Any) -> Iterator[Fault]:
    for pointer, kind in values(document, "/migrations/*/steps/*/type", object):
        if kind == "script":
            yield Fault(pointer, _NO_SCRIPTS)
        elif kind != "json_patch":
            yield Fault(pointer, "must be json_patch")


def _migrations(document: Any) -> Iterator[Fault]:
    this = _version(one_value(document, "/template/version", str))
    ways: set[tuple[object, object]] = set()
    for pointer, migration in values(document, "/migrations/*", dict):
        before, after = _version(migration.get("from")), _version(migration.get("to"))
        if before is None or after is None:
            continue
        if before.precedence >= after.precedence:
            yield Fault(f"{pointer}/to", "must be higher than from")
        if this is not None and after.precedence > this.precedence:
            yield Fault(f"{pointer}/to", "must not be higher than /template/version")
        way = (before.precedence, after.precedence)
        if way in ways:
            yield Fault(pointer, "goes the same way as another migration")
        ways.add(way)


def _version(text: Any) -> SemVer | None:
    try:
        return versions.parse(text) if isinstance(text, str) else None
    except ValueError:
        return None
