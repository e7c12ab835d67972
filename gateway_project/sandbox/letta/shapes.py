"""Rows of the smaller resources as the wire carries them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gateway_project.sandbox.letta.ids import new_id, now

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway_project.sandbox.letta.store import Actor, Row

_DESCRIPTIONS: Final = {
    "human": "The human block: Stores key details about the person you are conversing with.",
    "persona": "The persona block: Stores details about your current persona.",
}
_TEMPLATE_FIELDS: Final = ("template_id", "base_template_id", "deployment_id", "entity_id")


def authorship(actor: Actor) -> Row:
    """Return who made a row and when."""
    moment = now()
    return {
        "created_by_id": actor.id,
        "last_updated_by_id": actor.id,
        "created_at": moment,
        "updated_at": moment,
    }


def block(given: Mapping[str, Any]) -> Row:
    """Return a new block from a request's ``CreateBlock``."""
    return {
        "value": given.get("value", ""),
        "limit": given.get("limit", 100000),
        "project_id": None,
        "template_name": given.get("template_name"),
        "is_template": given.get("is_template", False),
        **dict.fromkeys(_TEMPLATE_FIELDS),
        "preserve_on_migration": False,
        "label": given["label"],
        "read_only": given.get("read_only", False),
        "description": given.get("description") or _DESCRIPTIONS.get(given["label"]),
        "metadata": given.get("metadata") or {},
        "hidden": given.get("hidden"),
        "id": new_id("block"),
        "created_by_id": None,
        "last_updated_by_id": None,
        "tags": given.get("tags") or [],
        "_identity_ids": [],
    }


def source(given: Mapping[str, Any], embedding: Row, actor: Actor) -> Row:
    """Return a new folder; the real server's word for it is source, and so is its id."""
    return {
        "name": given["name"],
        "description": given.get("description"),
        "instructions": given.get("instructions"),
        "metadata": given.get("metadata"),
        "id": new_id("source"),
        "embedding_config": embedding,
        "organization_id": actor.organization_id,
        **authorship(actor),
    }


def file(folder: Row, name: str, *, media_type: str, size_bytes: int, actor: Actor) -> Row:
    """Return a file that has just arrived and is still being parsed."""
    moment = now()
    return {
        "source_id": folder["id"],
        "file_name": f"{folder['name']}/{name}",
        "original_file_name": name,
        "file_path": None,
        "file_type": media_type,
        "file_size": size_bytes,
        "file_creation_date": None,
        "file_last_modified_date": None,
        "processing_status": "parsing",
        "error_message": None,
        "total_chunks": None,
        "chunks_embedded": None,
        "content": None,
        "id": new_id("file"),
        "organization_id": actor.organization_id,
        "created_at": moment,
        "updated_at": moment,
    }


def passage(text: str, embedding: Row, vector: list[float], actor: Actor, **given: Any) -> Row:
    """Return a passage. The real one carries 4096 floats; a few are enough to be stripped."""
    return {
        **authorship(actor),
        "is_deleted": False,
        "organization_id": actor.organization_id,
        "archive_id": given.get("archive_id"),
        "source_id": given.get("source_id"),
        "file_id": given.get("file_id"),
        "file_name": given.get("file_name"),
        "metadata": given.get("metadata") or {},
        "tags": given.get("tags"),
        "id": new_id("passage"),
        "text": text,
        "embedding": vector,
        "embedding_config": embedding,
    }


def archive(name: str, description: str | None, embedding: Row | None, actor: Actor) -> Row:
    """Return a new archive."""
    return {
        **authorship(actor),
        "name": name,
        "description": description,
        "organization_id": actor.organization_id,
        "vector_db_provider": "native",
        "embedding_config": embedding,
        "metadata": None,
        "id": new_id("archive"),
    }


def conversation(agent_id: str, given: Mapping[str, Any], actor: Actor) -> Row:
    """Return a new conversation of an agent."""
    return {
        **authorship(actor),
        "id": new_id("conv"),
        "agent_id": agent_id,
        "summary": given.get("summary"),
        "in_context_message_ids": [],
        "isolated_block_ids": [],
        "model": given.get("model"),
        "model_settings": given.get("model_settings"),
        "last_message_at": None,
    }


def identity(given: Mapping[str, Any], actor: Actor) -> Row:
    """Return a new identity."""
    return {
        "id": new_id("identity"),
        "identifier_key": given["identifier_key"],
        "name": given["name"],
        "identity_type": given["identity_type"],
        "project_id": given.get("project_id"),
        "agent_ids": given.get("agent_ids") or [],
        "block_ids": given.get("block_ids") or [],
        "organization_id": actor.organization_id,
        "properties": given.get("properties") or [],
    }


def group(given: Mapping[str, Any]) -> Row:
    """Return a new group."""
    return {
        "id": new_id("group"),
        "manager_type": "round_robin",
        "agent_ids": given["agent_ids"],
        "description": given["description"],
        "project_id": None,
        "template_id": None,
        "base_template_id": None,
        "deployment_id": None,
        "shared_block_ids": given.get("shared_block_ids") or [],
        "manager_agent_id": None,
        "termination_token": None,
        "max_turns": None,
        "sleeptime_agent_frequency": None,
        "turns_counter": None,
        "last_processed_message_id": None,
        "max_message_buffer_length": None,
        "min_message_buffer_length": None,
        "hidden": None,
    }


def provider(given: Mapping[str, Any], actor: Actor) -> Row:
    """Return a model provider. Its key is in clear, as on the real server by default."""
    return {
        "id": new_id("provider"),
        "name": given["name"],
        "provider_type": given["provider_type"],
        "provider_category": "byok",
        "api_key": None,
        "base_url": given.get("base_url"),
        "access_key": None,
        "region": given.get("region"),
        "api_version": given.get("api_version"),
        "organization_id": actor.organization_id,
        "updated_at": now(),
        "last_synced": None,
        "api_key_enc": given["api_key"],
        "access_key_enc": None,
        "_models": [],
        "_gone": [],
        "_bases": [given.get("base_url") or ""],
        "_is_deleted": False,
    }


def secret(agent_id: str, key: str, value: str, actor: Actor) -> Row:
    """Return an agent's environment variable; its value is in clear, as on the real server."""
    unset = ("created_by_id", "last_updated_by_id", "created_at", "updated_at")
    return {
        **dict.fromkeys(unset),
        "id": new_id("agent-env"),
        "key": key,
        "value": value,
        "description": None,
        "organization_id": actor.organization_id,
        "value_enc": value,
        "agent_id": agent_id,
    }
