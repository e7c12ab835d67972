"""Where, in Letta's answers, the ids of new things stand, and what is nobody's business.

Patterns are JSON pointers in which ``*`` stands for each item of a list.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from letta_proxy.models import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is taken out of an answer.

    Attributes:
        blanks: patterns of what no caller gets.
        vectors: patterns of embedding vectors, left in for callers who ask for them.
        failures: patterns of what went wrong, left in as far as the gateway has refused a model.
        remarks: patterns of texts in which that is told in the gateway's own words.
        tags: patterns of lists of tags, in which the gateway's own are nobody's business.
    """

    blanks: tuple[str, ...] = ()
    vectors: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()

    def below(self, place: str) -> Answer:
        """Return the answer that has such a thing at that place."""
        return Answer(
            blanks=tuple(place + pattern for pattern in self.blanks),
            vectors=tuple(place + pattern for pattern in self.vectors),
            failures=tuple(place + pattern for pattern in self.failures),
            remarks=tuple(place + pattern for pattern in self.remarks),
            tags=tuple(place + pattern for pattern in self.tags),
        )


def _and(*answers: Answer) -> Answer:
    return Answer(
        blanks=tuple(pattern for answer in answers for pattern in answer.blanks),
        vectors=tuple(pattern for answer in answers for pattern in answer.vectors),
        failures=tuple(pattern for answer in answers for pattern in answer.failures),
        remarks=tuple(pattern for answer in answers for pattern in answer.remarks),
        tags=tuple(pattern for answer in answers for pattern in answer.tags),
    )


_MODEL_CONFIG: Final = Answer(blanks=("/llm_config/model_endpoint",))
_EMBEDDING_CONFIG: Final = Answer(
    blanks=(
        "/embedding_config/embedding_endpoint",
        "/embedding_config/azure_endpoint",
        "/embedding_config/azure_version",
        "/embedding_config/azure_deployment",
    )
)
_SECRETS: Final = Answer(
    blanks=(
        "/secrets/*/value",
        "/secrets/*/value_enc",
        "/tool_exec_environment_variables/*/value",
        "/tool_exec_environment_variables/*/value_enc",
    )
)

UNTOUCHED: Final = Answer()
TOOL: Final = Answer(blanks=("/source_code",))
TOOLS: Final = TOOL.below("/*")
FILE: Final = Answer(remarks=("/error_message",))
FILES: Final = FILE.below("/*")
FOLDER: Final = _EMBEDDING_CONFIG
FOLDERS: Final = FOLDER.below("/*")
ARCHIVE: Final = _EMBEDDING_CONFIG
ARCHIVES: Final = ARCHIVE.below("/*")
PASSAGE: Final = _and(_EMBEDDING_CONFIG, Answer(vectors=("/embedding",)))
PASSAGES: Final = PASSAGE.below("/*")
FOUND_PASSAGES: Final = PASSAGE.below("/*/passage")
AGENT: Final = _and(
    _MODEL_CONFIG,
    _EMBEDDING_CONFIG,
    _SECRETS,
    TOOL.below("/tools/*"),
    FOLDER.below("/sources/*"),
    Answer(tags=("/tags",)),
)
AGENTS: Final = AGENT.below("/*")
# The error of a run is what a model provider said, in its own words.
RUN: Final = Answer(blanks=("/callback_url", "/callback_error"), failures=("/metadata/error",))
RUNS: Final = RUN.below("/*")
STEP: Final = Answer(blanks=("/model_endpoint", "/error_data"))
STEPS: Final = STEP.below("/*")
TRACE: Final = Answer(blanks=("/llm_config", "/billing_context", "/org_id"))
MODELS: Final = Answer(blanks=("/*/model_endpoint",))
EMBEDDING_MODELS: Final = Answer(
    blanks=(
        "/*/embedding_endpoint",
        "/*/azure_endpoint",
        "/*/azure_version",
        "/*/azure_deployment",
    )
)
# An .af file: code and addresses are Letta's, secrets nobody's to read back.
AGENT_FILE: Final = _and(
    TOOL.below("/tools/*"),
    _MODEL_CONFIG.below("/agents/*"),
    _EMBEDDING_CONFIG.below("/agents/*"),
    _EMBEDDING_CONFIG.below("/sources/*"),
    Answer(
        blanks=("/agents/*/secrets", "/agents/*/tool_exec_environment_variables", "/mcp_servers"),
        tags=("/agents/*/tags",),
    ),
)

NEW_AGENT: Final = {
    "/id": Kind.AGENT,
    "/blocks/*/id": Kind.BLOCK,
    # A sleeptime agent, with its own block, comes with the first (measured).
    "/multi_agent_group/agent_ids/*": Kind.AGENT,
}
NEW_CONVERSATION: Final = {"/id": Kind.CONVERSATION, "/isolated_block_ids/*": Kind.BLOCK}
NEW_BLOCK: Final = {"/id": Kind.BLOCK}
NEW_FOLDER: Final = {"/id": Kind.FOLDER}
NEW_FILE: Final = {"/id": Kind.FILE}
NEW_ARCHIVE: Final = {"/id": Kind.ARCHIVE}
NEW_RUN: Final = {"/id": Kind.RUN}
# The first passage of an agent brings an archive with it.
NEW_PASSAGE: Final = {"/id": Kind.PASSAGE, "/archive_id": Kind.ARCHIVE}
NEW_PASSAGES: Final = {f"/*{pattern}": kind for pattern, kind in NEW_PASSAGE.items()}
LISTED_PASSAGES: Final = {"/*/id": Kind.PASSAGE}
FOUND_BY_SEARCH: Final = {"/*/passage/id": Kind.PASSAGE}
FOUND_IN_MEMORY: Final = {"/results/*/id": Kind.PASSAGE}
