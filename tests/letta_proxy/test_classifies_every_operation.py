from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway_core.errors import OperationNotOffered
from gateway_core.proxy.operations import BodyKind, split_path
from letta_proxy.catalogue import CATALOGUE
from letta_proxy.catalogue.closed import UNDOCUMENTED
from letta_proxy.catalogue.operation import LettaOperation, Use, offered
from letta_proxy.models import Kind

_OFFERED = [operation for operation in CATALOGUE.operations if operation.is_offered]
_DOCUMENTED = Path(__file__).with_name("documented_operations.txt")


def test_knows_all_that_letta_documents_and_nothing_else() -> None:
    documented = set(_DOCUMENTED.read_text().splitlines())
    known = {f"{one.method} {one.upstream_path}" for one in CATALOGUE.operations}

    assert len(documented) == 249
    assert known == documented


def test_gives_a_reason_for_each_operation_that_is_closed() -> None:
    closed = [operation for operation in CATALOGUE.operations if not operation.is_offered]

    assert len(closed) > 130
    assert all(operation.why_not.endswith(".") for operation in closed)


@pytest.mark.parametrize("operation", _OFFERED, ids=lambda operation: operation.name)
def test_has_an_owner_rule_for_each_id_in_a_path(operation: LettaOperation) -> None:
    assert set(operation.owners) == set(re.findall(r"\{(\w+)\}", operation.path))


def test_refuses_to_declare_an_id_without_an_owner_rule() -> None:
    with pytest.raises(KeyError, match="widget_id"):
        offered("x", "GET /widgets/{widget_id}")


@pytest.mark.parametrize("operation", _OFFERED, ids=lambda operation: operation.name)
def test_waits_for_the_answer_that_names_what_is_new(operation: LettaOperation) -> None:
    assert operation.must_finish is bool(operation.creates or operation.deletes)
    assert not (operation.deletes and operation.deletes not in operation.owners)


@pytest.mark.parametrize("operation", _OFFERED, ids=lambda operation: operation.name)
def test_takes_a_body_only_by_rule(operation: LettaOperation) -> None:
    assert (operation.body is BodyKind.JSON) is (operation.fields is not None)
    assert (operation.use is Use.READ) or operation.method != "GET" or operation.use is Use.COST


def test_finds_the_operation_behind_each_documented_path() -> None:
    for operation in CATALOGUE.operations:
        path = re.sub(r"\{\w+\}", "x-1", operation.path)

        assert CATALOGUE.match(operation.method, split_path(path.encode()))[0] is operation


@pytest.mark.parametrize("prefix", sorted(UNDOCUMENTED))
def test_says_why_an_undocumented_route_is_closed(prefix: str) -> None:
    with pytest.raises(OperationNotOffered) as caught:
        CATALOGUE.match("GET", split_path(f"{prefix}/agents".encode()))

    assert UNDOCUMENTED[prefix] in caught.value.detail


def test_names_the_methods_that_a_path_has() -> None:
    with pytest.raises(OperationNotOffered, match="DELETE, GET, PATCH"):
        CATALOGUE.match("PUT", ("agents", "agent-1"))


def test_looks_up_a_runs_id_as_one() -> None:
    operation, _ = CATALOGUE.match("GET", ("runs", "run-1"))

    assert operation.owners == {"run_id": Kind.RUN}
