"""Health, models, model providers and tags."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from gateway_core.errors import UpstreamError
from gateway_project.sandbox.letta import catalogue, shapes
from gateway_project.sandbox.letta.calls import Call, Routes
from gateway_project.sandbox.letta.ids import now
from gateway_project.sandbox.letta.paging import page
from gateway_project.sandbox.letta.problems import duplicate
from gateway_project.sandbox.letta.store import Row, public

routes: Final = Routes()

VERSION: Final = "0.16.8"
_PROVIDER_FIELDS: Final = ("base_url", "region", "api_version")


@routes.add("GET", "/health/", "/ready/")
async def health(_call: Call) -> Row:
    """Return that the server is up."""
    return {"version": VERSION, "status": "ok"}


@routes.add("GET", "/models/")
async def list_models(call: Call) -> list[Row]:
    """Return the base models and those of the organization's providers."""
    wanted = {name: call.query(name) for name in ("provider_name", "provider_category")}
    return [
        catalogue.model_shape(config)
        for config in catalogue.llm_configs(call.store, call.actor)
        if all(value in {None, config[name]} for name, value in wanted.items())
    ]


@routes.add("GET", "/models/embedding")
async def list_embedding_models(call: Call) -> list[Row]:
    """Return the embedding models."""
    configs = catalogue.embedding_configs(call.store, call.actor)
    return [catalogue.embedding_shape(config) for config in configs]


@routes.add("GET", "/tags/")
async def list_tags(call: Call) -> list[str]:
    """Return all tags of the organization's agents."""
    rows = call.store.own_rows("agents", call.actor)
    return sorted({tag for row in rows for tag in row["tags"]})


@routes.add("GET", "/providers/")
async def list_providers(call: Call) -> list[Row]:
    """Return the organization's model providers, keys in clear as the real server."""
    name = call.query("name")
    rows = catalogue.providers_of(call.store, call.actor)
    named = [public(row) for row in rows if name in {None, row["name"]}]
    return page(named, call.request.query_params)


@routes.add("POST", "/providers/")
async def create_provider(call: Call) -> Row:
    """Make a model provider and ask it for its models.

    As the real server: one that was deleted under the same name comes back, with its id and all the
    models that it ever had before it is asked.
    """
    given = await call.body(["name", "provider_type", "api_key"])
    provider = _named(call, given["name"])
    if provider is None:
        provider = call.store.add("providers", shapes.provider(given, call.actor), call.actor)
    elif provider["_is_deleted"]:
        provider |= {"_is_deleted": False, "_gone": [], "api_key_enc": given["api_key"]}
        _change(provider, given)
    else:
        key = f"(name, organization_id)=({given['name']}, {call.actor.organization_id})"
        raise duplicate("Provider", "unique_name_organization_id", key)
    answer = public(provider)
    await _sync(call, provider)
    return answer


@routes.add("GET", "/providers/{provider_id}")
async def get_provider(call: Call) -> Row:
    """Return one provider, key in clear as the real server."""
    return public(call.own("providers", "provider_id"))


@routes.add("PATCH", "/providers/{provider_id}")
async def update_provider(call: Call) -> Row:
    """Change a provider."""
    given = await call.body(["api_key"])
    provider = call.own("providers", "provider_id")
    provider["api_key_enc"] = given["api_key"]
    _change(provider, given)
    return public(provider)


@routes.add("PATCH", "/providers/{provider_id}/refresh")
async def refresh_provider(call: Call) -> Row:
    """Ask a provider again for its models."""
    provider = call.own("providers", "provider_id")
    await _sync(call, provider)
    return public(provider)


@routes.add("DELETE", "/providers/{provider_id}")
async def delete_provider(call: Call) -> Row:
    """Delete a provider."""
    provider = call.own("providers", "provider_id")
    provider["_is_deleted"] = True
    return {"message": f"Provider id={provider['id']} successfully deleted"}


def _named(call: Call, name: str) -> Row | None:
    rows = call.store.own_rows("providers", call.actor)
    return next((row for row in rows if row["name"] == name), None)


def _change(provider: Row, given: Row) -> None:
    provider |= {name: given[name] for name in _PROVIDER_FIELDS if name in given}
    provider["_bases"].append(provider["base_url"] or "")
    provider["updated_at"] = now()


async def _sync(call: Call, provider: Row) -> None:
    """Note the models that the provider lists; when it does not answer, all stays as it is.

    As the real server: a model that was once left out does not come back, until the provider itself
    is deleted and made again.
    """
    if not provider["base_url"]:
        return
    url = provider["base_url"].rstrip("/") + "/models"
    headers = {"authorization": f"Bearer {provider['api_key_enc']}"}
    try:
        status, body = await call.world.outside.client.fetch("GET", url, headers=headers)
    except UpstreamError:
        return
    if status >= HTTPStatus.BAD_REQUEST or not isinstance(body, dict):
        return
    listed = [model["id"] for model in body.get("data", [])]
    provider["_gone"] += [name for name in provider["_models"] if name not in listed]
    provider["_models"] = [name for name in listed if name not in provider["_gone"]]
    provider["last_synced"] = now()
