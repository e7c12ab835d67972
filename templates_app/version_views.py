"""``/api/v1/templates/{id}/versions``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.http import HttpResponse
from django.utils.cache import get_conditional_response
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.decorators import action
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from gateway_core.pages import KeysetPagination
from templates_app import services
from templates_app.agent_file.loading import Format
from templates_app.elsewhere import RefusesElsewhere, keeper, known_of
from templates_app.models import TemplateVersion
from templates_app.requests import caller_of
from templates_app.serializers import FullVersionSerializer, VersionSerializer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.http import HttpResponseBase
    from rest_framework.renderers import BaseRenderer
    from rest_framework.request import Request

_TEMPLATE: Final = OpenApiParameter("template_id", OpenApiTypes.UUID, OpenApiParameter.PATH)


class VersionPagination(KeysetPagination):
    """The highest version first."""

    columns = ("major", "minor", "patch", "prerelease_key")


class AnyAccept(DefaultContentNegotiation):
    """Takes any Accept: the answer is a file of the type that it has, an error is JSON."""

    def select_renderer(
        self,
        request: Request,
        renderers: Iterable[BaseRenderer],
        format_suffix: str | None = None,
    ) -> tuple[BaseRenderer, str]:
        """Return the one there is."""
        del request, format_suffix
        renderer = next(iter(renderers))
        return renderer, str(renderer.media_type)


@extend_schema(tags=["templates"], parameters=[_TEMPLATE])
class VersionViewSet(RefusesElsewhere, GenericViewSet[TemplateVersion]):
    """Versions of a template. None ever changes but for being the latest, or deprecated."""

    elsewhere = frozenset({"retrieve"})
    queryset = TemplateVersion.objects.none()
    serializer_class = VersionSerializer
    pagination_class = VersionPagination
    lookup_field = "version"

    @extend_schema(summary="List versions of a template", responses=VersionSerializer(many=True))
    def list(self, request: Request, **path: Any) -> Response:
        """The highest first."""
        template = services.visible_template(
            user=caller_of(request), template_id=path["template_id"]
        )
        page = self.paginate_queryset(template.versions.without_content())
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @extend_schema(summary="Describe a version", responses=FullVersionSerializer)
    def retrieve(self, request: Request, **path: Any) -> Response:
        """With the Agent File as JSON. `latest` is the name of the latest version.

        Where another service keeps it, what that tells of it.
        """
        if (other := keeper()) is not None:
            told = other.version(
                user=caller_of(request),
                template_id=str(path["template_id"]),
                version=path["version"],
            )
            return Response(known_of(told, FullVersionSerializer))
        return Response(FullVersionSerializer(_version(request, path)).data)

    @extend_schema(
        summary="Get the Agent File of a version",
        responses={
            **{(200, one.media_type): OpenApiTypes.OBJECT for one in Format},
            304: OpenApiResponse(description="It is the one that If-None-Match names."),
        },
    )
    @action(detail=True, methods=["get"], content_negotiation_class=AnyAccept)
    def file(self, request: Request, **path: Any) -> HttpResponseBase:
        """As it was published, to the last blank. Its ETag is the checksum."""
        row = _version(request, path)
        name = f"{row.template.name}-{row.version}.{row.format}"
        headers = {
            "ETag": f'"{row.checksum}"',
            "Cache-Control": "private, no-cache",
            "Content-Disposition": f'attachment; filename="{name}"',
        }
        answer = HttpResponse(
            row.raw, content_type=f"{Format(row.format).media_type}; charset=utf-8", headers=headers
        )
        found = get_conditional_response(request, etag=answer["ETag"], response=answer)
        return found or answer

    @extend_schema(summary="Deprecate a version", request=None, responses=VersionSerializer)
    @action(detail=True, methods=["post"])
    def deprecate(self, request: Request, **path: Any) -> Response:
        """Have no more agents made from it. The highest other release becomes the latest."""
        return self._told(services.deprecate_version(**_named(request, path)))

    @extend_schema(
        summary="Take a version's deprecation back", request=None, responses=VersionSerializer
    )
    @action(detail=True, methods=["post"])
    def undeprecate(self, request: Request, **path: Any) -> Response:
        """Have agents made from it again."""
        return self._told(services.undeprecate_version(**_named(request, path)))

    def _told(self, row: TemplateVersion) -> Response:
        return Response(self.get_serializer(row).data)


def _version(request: Request, path: dict[str, Any]) -> TemplateVersion:
    return services.visible_version(
        user=caller_of(request), template_id=path["template_id"], version=path["version"]
    )


def _named(request: Request, path: dict[str, Any]) -> dict[str, Any]:
    """Return who changes which version, of a template that they see."""
    by = caller_of(request)
    services.visible_template(user=by, template_id=path["template_id"])
    return {"by": by, **path}
