from __future__ import annotations

import json
from typing import Any

import pytest

from templates_app.agent_file.faults import MOST_SHOWN
from templates_app.agent_file.validation import validate
from tests.templates_app.files import agent_file, with_prompt


def faults(document: Any) -> dict[str, str]:
    return {fault.pointer: fault.message for fault in validate(document).faults}


def without(section: str) -> dict[str, Any]:
    return {name: value for name, value in agent_file().items() if name != section}


def changed(pointer: str, value: Any) -> dict[str, Any]:
    """Return a valid file in which one value is another."""
    document = agent_file()
    *way, last = pointer.split("/")[1:]
    holder: Any = document
    for step in way:
        holder = holder[int(step) if isinstance(holder, list) else step]
    holder[int(last) if isinstance(holder, list) and last.isdecimal() else last] = value
    return document


def test_finds_nothing_wrong_with_a_valid_file() -> None:
    report = validate(agent_file())

    assert (report.is_valid, report.faults, report.warnings) == (True, (), ())


def test_wants_no_more_than_the_required_sections() -> None:
    document = with_prompt("Hello.")
    del document["tools"], document["engine"]["embedding"], document["engine"]["hyperparams"]

    assert faults(document) == {}


def test_takes_names_that_only_look_like_those_of_the_system() -> None:
    names = ("LDAP_URL", "GIT_TOKEN", "MY_PATH", "ENVIRONMENT", "RUBY_KEY")

    assert faults({**agent_file(), "tool_env": dict.fromkeys(names, "x")}) == {}


@pytest.mark.parametrize("document", [None, "text", 1, [], [{}], True])
def test_wants_an_object(document: Any) -> None:
    assert faults(document) == {"": "must be an object"}


@pytest.mark.parametrize("section", ["af_version", "template", "engine", "persona"])
def test_wants_each_required_section(section: str) -> None:
    assert faults(without(section))[f"/{section}"] == "is required"


@pytest.mark.parametrize(
    ("pointer", "value", "complaint"),
    [
        ("/af_version", "2.0", "one of"),
        ("/extra", 1, "not known"),
        ("/template/name", "Helper", "lowercase"),
        ("/template/name", "a--b", "lowercase"),
        ("/template/name", "a\n", "lowercase"),
        ("/template/name", "n" * 65, "at most 64"),
        ("/template/name", 1, "a text"),
        ("/template/version", "1.0", "semantic version"),
        ("/template/version", 1.0, "a text"),
        ("/template/author", "me", "not known"),
        ("/compat", {"letta_min": "new"}, ""),
        ("/engine/model", "http://169.254.169.254/x", "name of a model"),
        ("/engine/model", "a b", "name of a model"),
        ("/engine/model", "", "name of a model"),
        ("/engine/hyperparams/temperature", 2.5, "at most 2"),
        ("/engine/hyperparams/temperature", "0.3", "a number"),
        ("/engine/hyperparams/temperature", True, "a number"),
        ("/engine/hyperparams/max_tokens", 0, "at least 1"),
        ("/engine/hyperparams/model_endpoint", "http://x", "not known"),
        ("/engine/llm_config", {}, "not known"),
        ("/persona/system_prompt", "", "at least 1"),
        ("/persona/system_prompt", "{CORE_MEMORY} {CORE_MEMORY}", "once only"),
        ("/memory_layout/blocks/0/label", "a b", "letters"),
        ("/memory_layout/blocks/1/label", "human", "another block"),
        ("/memory_layout/blocks/0/value", None, "a text"),
        ("/memory_layout/blocks/0/value", "x" * 2001, "at most 2000 characters, its limit"),
        ("/memory_layout/blocks/0/limit", 100_001, "at most 100000"),
        ("/memory_layout/blocks/0/id", "block-1", "not known"),
        ("/tools", "archival_memory_search", "a list"),
        ("/tools", ["a", "a"], "twice"),
        ("/tools/0", "def run(): pass", "name of a tool"),
        ("/tools/0", {"source_code": "import os"}, "a text"),
        ("/tool_env/PATH_", 1, "a text"),
        ("/tool_env/path", "x", "capital"),
        ("/tool_env/PATH", "/tmp", "obeys"),  # noqa: S108 - a value
        ("/tool_env/LD_PRELOAD", "x.so", "obeys"),
        ("/tool_env/PYTHONWARNINGS", "all:0:antigravity.x:0:0", "obeys"),
        ("/init_messages/0/role", "tool", "one of"),
        ("/init_messages/0/content", "", "at least 1"),
        ("/init_messages/0/content", [{"type": "image"}], "a text"),
    ],
)
def test_names_the_place_of_each_fault(pointer: str, value: Any, complaint: str) -> None:
    found = faults(changed(pointer, value))

    if pointer == "/compat":
        pointer = "/compat/letta_min"
    assert list(found) == [pointer]
    assert complaint in found[pointer]


def test_tells_all_faults_at_once() -> None:
    document = agent_file(
        template={"version": "1"},
        engine={"modell": "x"},
        tools=["a", 2],
        init_messages=[{"role": "user"}],
        zzz=1,
    )

    assert list(faults(document)) == [
        "/engine/model",
        "/engine/modell",
        "/init_messages/0/content",
        "/template/name",
        "/template/version",
        "/tools/1",
        "/zzz",
    ]


def test_tells_no_more_than_anybody_reads() -> None:
    report = validate({f"x{number}": 1 for number in range(500)})

    assert len(report.faults) == MOST_SHOWN


def test_repeats_no_value_in_its_messages() -> None:
    document = changed("/template/name", "sk-SECRET")
    document["engine"] = {"model": "sk SECRET", "hyperparams": "sk-SECRET"}

    assert "SECRET" not in json.dumps(faults(document))


# -- migrations
def migration(*steps: Any, since: str = "0.9.0", to: str = "1.0.0") -> dict[str, Any]:
    return {"from": since, "to": to, "steps": list(steps)}


def patch(**operation: Any) -> dict[str, Any]:
    return {"type": "json_patch", "patch": [operation]}


def test_takes_patches_of_every_kind() -> None:
    steps = [
        patch(op="add", path="/memory_layout/blocks/goals", value={"value": "Serve {{user_name}}"}),
        patch(op="replace", path="/engine/model", value="openai-proxy/other"),
        patch(op="replace", path="/memory_layout/blocks/human/limit", value=10),
        patch(op="test", path="/engine/hyperparams/temperature", value=0.5),
        patch(op="remove", path="/memory_layout/blocks/human"),
        patch(op="move", path=f"{BLOCK}person", **{"from": f"{BLOCK}human"}),
        patch(op="copy", path=f"{BLOCK}person", **{"from": f"{BLOCK}human"}),
    ]

    assert faults(agent_file(migrations=[migration(*steps)])) == {}


BLOCK = "/memory_layout/blocks/"
ELSEWHERE = "can't be patched: only"


@pytest.mark.parametrize(
    ("operation", "pointer", "complaint"),
    [
        *(
            ({"op": "add", "path": path, "value": "x"}, "path", ELSEWHERE)
            for path in (
                *("", "/tools/-", "/tool_env/KEY", "/template/version", "/engine"),
                *("/engine/hyperparams", "/engine/hyperparams/seed", "/persona", "/compat"),
                *(f"{BLOCK}0", f"{BLOCK}0/value", f"{BLOCK}-", f"{BLOCK}human/", BLOCK),
                *(f"{BLOCK}human/label", f"{BLOCK}human/value/0", f"{BLOCK}a~1b"),
            )
        ),
        ({"op": "replace", "path": "/engine/model", "value": None}, "value", "must be a text"),
        (
            {"op": "add", "path": "/engine/hyperparams/temperature", "value": 3},
            "value",
            "at most 2",
        ),
        ({"op": "add", "path": f"{BLOCK}a", "value": "x"}, "value", "must be an object"),
        ({"op": "add", "path": f"{BLOCK}a", "value": {"limit": 1}}, "value/value", "is required"),
        (
            {"op": "add", "path": f"{BLOCK}a", "value": {"value": "", "label": "b"}},
            "value/label",
            "not known",
        ),
        ({"op": "replace", "path": f"{BLOCK}a/value", "value": "x" * 100_001}, "value", "at most"),
        ({"op": "replace", "path": f"{BLOCK}a/value", "value": "{{api_key}}"}, "value", "secret"),
        ({"op": "replace", "path": f"{BLOCK}a/value", "value": "{{who}}"}, "value", "declare"),
        ({"op": "remove", "path": f"{BLOCK}a/limit"}, "path", "must be a whole block"),
        ({"op": "remove", "path": "/engine/embedding"}, "path", "must be a whole block"),
        ({"op": "test", "path": f"{BLOCK}a", "value": {"value": "x"}}, "path", "a member"),
        (
            {"op": "move", "path": f"{BLOCK}a", "from": "/persona/system_prompt"},
            "from",
            "must be a whole block",
        ),
        (
            {"op": "copy", "path": f"{BLOCK}a/value", "from": f"{BLOCK}b"},
            "path",
            "must be a whole block",
        ),
        ({"op": "move", "path": f"{BLOCK}a", "from": f"{BLOCK}a"}, "path", "another block"),
    ],
)
def test_lets_patches_change_what_an_agent_keeps_for_itself(
    operation: dict[str, Any], pointer: str, complaint: str
) -> None:
    found = faults(agent_file(migrations=[migration(patch(**operation))]))

    assert list(found) == [f"/migrations/0/steps/0/patch/0/{pointer}"]
    assert complaint in found[f"/migrations/0/steps/0/patch/0/{pointer}"]


def test_bounds_operations_in_all() -> None:
    many = [{"op": "test", "path": "/engine/model", "value": "m"}] * 501
    step = {"type": "json_patch", "patch": many}

    assert faults(agent_file(migrations=[migration(step)])) == {}
    assert faults(agent_file(migrations=[migration(step, step)])) == {
        "/migrations": "must have at most 1000 operations in all"
    }


@pytest.mark.parametrize(
    ("step", "pointer", "complaint"),
    [
        ({"type": "script", "script": "import os"}, "/type", "runs no foreign code"),
        ({"type": "shell"}, "/type", "must be json_patch"),
        ({}, "/type", "is required"),
        ({"type": "json_patch"}, "/patch", "is required"),
        ({"type": "json_patch", "patch": []}, "/patch", "at least 1"),
        (patch(op="add", path="/engine/model"), "/patch/0/value", "is required"),
        (patch(op="move", path=f"{BLOCK}a"), "/patch/0/from", "is required"),
        (patch(op="eval", path="/engine/model"), "/patch/0/op", "one of"),
        (patch(op="remove", path="a"), "/patch/0/path", "JSON pointer"),
        (patch(op="remove", path=f"{BLOCK}a", run="x"), "/patch/0/run", "not known"),
        ({**patch(op="remove", path=f"{BLOCK}a"), "script": "x"}, "/script", "not known"),
    ],
)
def test_refuses_steps_that_are_no_patch(
    step: dict[str, Any], pointer: str, complaint: str
) -> None:
    found = faults(agent_file(migrations=[migration(step)]))

    assert list(found) == [f"/migrations/0/steps/0{pointer}"]
    assert complaint in found[f"/migrations/0/steps/0{pointer}"]


@pytest.mark.parametrize(
    ("migrations", "pointer"),
    [
        ([migration(since="1.0.0", to="1.0.0")], "/migrations/0/to"),
        ([migration(since="1.0.0-rc.1", to="1.0.0-beta")], "/migrations/0/to"),
        ([migration(to="1.0.1")], "/migrations/0/to"),
        ([migration(since="old")], "/migrations/0/from"),
        ([migration(), migration(since="0.8.0"), migration()], "/migrations/2"),
    ],
)
def test_wants_migrations_that_lead_up_to_this_version(
    migrations: list[dict[str, Any]], pointer: str
) -> None:
    assert list(faults(agent_file(migrations=migrations))) == [pointer]


# -- variables
@pytest.mark.parametrize(
    ("variable", "pointer"),
    [
        ({"type": "sting"}, "/type"),
        ({"minLength": -1}, "/minLength"),
        ({"pattern": "("}, "/pattern"),
        ({"pattern": "(?=a)"}, "/pattern"),
        ({"pattern": r"(a)\1"}, "/pattern"),
        ({"pattern": "a" * 201}, "/pattern"),
        ({"items": {"anyOf": [{"pattern": "["}]}}, "/items/anyOf/0/pattern"),
        ({"$ref": "http://127.0.0.1/schema"}, "/$ref"),
        ({"$ref": "#"}, "/$ref"),
        ({"allOf": [{"$dynamicRef": "#x"}]}, "/allOf/0/$dynamicRef"),
        ({"$id": "http://example.com/"}, "/$id"),
        ({"$schema": "http://json-schema.org/draft-03/schema#"}, "/$schema"),
        ({"$schema": "https://json-schema.org/draft/2020-12/schema"}, "/$schema"),
        ({"patternProperties": {"(a+)+$": {}}}, "/patternProperties"),
        ({"properties": {"x": {"not": {"$ref": "#"}}}}, "/properties/x/not/$ref"),
        ({"type": "integer", "default": "one"}, "/default"),
        ({"type": "string", "x-secret": True, "default": "abc"}, "/default"),
        ({"x-secret": "yes"}, "/x-secret"),
        (True, ""),
    ],
)
def test_wants_schemas_that_values_can_safely_be_checked_by(variable: Any, pointer: str) -> None:
    document = with_prompt("Hello.", x=variable)

    assert list(faults(document)) == [f"/persona/variables_schema/properties/x{pointer}"]


def test_takes_values_that_look_like_references() -> None:
    variable = {"default": {"$ref": "#"}, "enum": [{"$ref": "#"}], "properties": {"$ref": {}}}

    assert faults(with_prompt("{{x}}", x=variable)) == {}


def test_takes_the_dialect_that_it_reads() -> None:
    document = with_prompt("Hello.")
    schema = document["persona"]["variables_schema"]

    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    assert faults(document) == {}
    schema["$schema"] = "http://json-schema.org/draft-07/schema#"
    assert list(faults(document)) == ["/persona/variables_schema/$schema"]


@pytest.mark.parametrize("name", ["", "1x", "a-b", "ä", "x" * 65, "a/b"])
def test_wants_names_that_can_stand_in_a_text(name: str) -> None:
    (pointer,) = faults(with_prompt("Hello.", **{name: {}}))

    assert pointer == f"/persona/variables_schema/properties/{name.replace('/', '~1')}"


@pytest.mark.parametrize(
    "pointer",
    [
        "/persona/system_prompt",
        "/memory_layout/blocks/0/value",
        "/memory_layout/blocks/0/description",
        "/tool_env/API_KEY",
        "/init_messages/0/content",
        "/engine/model",
    ],
)
def test_finds_undeclared_variables_wherever_texts_are_filled(pointer: str) -> None:
    found = faults(changed(pointer, "{{ stranger }}"))

    assert list(found) == [pointer]
    assert "{{stranger}}" in found[pointer]


def test_leaves_other_braces_alone() -> None:
    assert faults(with_prompt("{x} {{}} {{1x}} {{a b}} { {x} } {{x.y}}")) == {}


def test_keeps_secrets_to_the_environment_of_tools() -> None:
    found = faults(changed("/persona/system_prompt", "{{api_key}} {{user_name}}"))

    assert list(found) == ["/persona/system_prompt"]
    assert "secret" in found["/persona/system_prompt"]


def test_warns_of_what_may_be_a_mistake() -> None:
    document = with_prompt("Hello.", unused={"type": "string"})
    document["compat"] = {"models": ["other"], "embeddings": ["other"]}
    report = validate(document)

    assert report.is_valid
    assert [warning.pointer for warning in report.warnings] == [
        "/engine/embedding",
        "/engine/model",
        "/persona/variables_schema/properties/unused",
    ]
