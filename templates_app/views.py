"""``/api/v1/templates``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from django.conf import settings
from django.db.models import Q
from django.urls import reverse
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_view
from rest_framework import mixins, status
from rest_framework.decorators import action
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from accounts.sessions.sensitive import sensitive
from gateway_core.downloads import download
from gateway_core.intake import raw_body, takes_up_to, valid
from gateway_core.pages import KeysetPagination
from templates_app import services
from templates_app.elsewhere import (
    RefusesElsewhere,
    keeper,
    known_of,
    refuse_unheeded,
    report_of,
)
from templates_app.models import Template, TemplateVersion, Visibility
from templates_app.requests import bundle_of, caller_of, query_of
from templates_app.serializers import (
    BundleSerializer,
    CloneSerializer,
    FilterSerializer,
    ImportedSerializer,
    LatestSerializer,
    PlaceSerializer,
    PublishedSerializer,
    PublishSerializer,
    ReportSerializer,
    TemplateChangesSerializer,
    TemplateSerializer,
    VersionSerializer,
)

if TYPE_CHECKING:
    from uuid import UUID

    from django.db.models import QuerySet
    from django.http import StreamingHttpResponse
    from rest_framework.request import Request

_TAGS: Final = ["templates"]
_ANY_FILE: Final = {
    "type": "object",
    "description": "An Agent File: see docs/AGENT_FILE.md.",
}
_AGENT_FILE: Final = {"application/yaml": _ANY_FILE, "application/json": _ANY_FILE}


@sensitive("publish", "clone", "import_bundle", "destroy")
@extend_schema(tags=_TAGS)
@extend_schema_view(list=extend_schema(summary="List templates", parameters=[FilterSerializer]))
class TemplateViewSet(
    RefusesElsewhere, mixins.ListModelMixin, mixins.RetrieveModelMixin, GenericViewSet[Template]
):
    """Templates of agents: one's own, and the product's public ones."""

    elsewhere = frozenset({"retrieve", "validate", "publish"})
    queryset = Template.objects.none()
    serializer_class = TemplateSerializer
    pagination_class = KeysetPagination
    lookup_value_converter = "uuid"

    def get_queryset(self) -> QuerySet[Template]:
        """Return what the caller sees; private templates of others do not exist."""
        return Template.objects.for_user(caller_of(self.request)).with_latest_version()

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Apply the query of a list."""
        if self.action != "list":
            return queryset
        wish = query_of(self.request, FilterSerializer)
        if not wish["include_deprecated"]:
            queryset = queryset.filter(deprecated_at=None)
        if "owner" in wish:
            queryset = queryset.filter(owner=caller_of(self.request))
        if "visibility" in wish:
            queryset = queryset.filter(visibility=wish["visibility"])
        if "tag" in wish:
            queryset = queryset.filter(tags__contains=wish["tag"])
        if "q" in wish:
            part = wish["q"]
            queryset = queryset.filter(Q(name__icontains=part) | Q(description__icontains=part))
        return queryset

    @extend_schema(summary="Describe a template")
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return a template; where another service keeps it, what that tells of it."""
        other = keeper()
        if other is None:
            return super().retrieve(request, *args, **kwargs)
        told = other.template(user=caller_of(request), template_id=str(kwargs["pk"]))
        return Response(known_of(told, TemplateSerializer))

    @extend_schema(
        summary="Change what is said about a template",
        request=TemplateChangesSerializer,
        responses=TemplateSerializer,
    )
    def partial_update(self, request: Request, **_path: Any) -> Response:
        """Change description, tags, labels or, for staff, visibility. Versions never change."""
        template = self.get_object()
        traits = valid(TemplateChangesSerializer(data=request.data))
        services.update_template(
            by=caller_of(request), template_id=template.pk, traits=cast("services.Traits", traits)
        )
        return self._told(template.pk)

    @extend_schema(
        summary="Delete a template",
        responses={
            204: OpenApiResponse(description="It is gone."),
            200: OpenApiResponse(TemplateSerializer, description="In use: it is deprecated."),
        },
    )
    def destroy(self, request: Request, **_path: Any) -> Response:
        """Delete a template and all versions; deprecate it when agents were made from it."""
        pk = self.get_object().pk
        if services.delete_template(by=caller_of(request), template_id=pk) is None:
            return Response(status=status.HTTP_204_NO_CONTENT)
        return self._told(pk)

    @extend_schema(
        summary="Say what is wrong with an Agent File",
        request=_AGENT_FILE,
        responses=ReportSerializer,
    )
    @action(detail=False, methods=["post"], pagination_class=None)
    @takes_up_to("MAX_TEMPLATE_BYTES")
    def validate(self, request: Request) -> Response:
        """Look at all of a file. 200 whether it is valid or not, 400 when it can't be read."""
        content, media_type = raw_body(request, settings.MAX_TEMPLATE_BYTES)
        if (other := keeper()) is not None:
            said = other.validate(user=caller_of(request), content=content, media_type=media_type)
            return Response(report_of(said))
        file_format, report = services.validate_file(content, media_type)
        validation = {
            "valid": report.is_valid,
            "errors": [fault.as_dict() for fault in report.faults],
            "warnings": [fault.as_dict() for fault in report.warnings],
        }
        return Response({"format": file_format, "validation": validation})

    @extend_schema(
        summary="Publish an Agent File",
        parameters=[PublishSerializer],
        request=_AGENT_FILE,
        responses={201: PublishedSerializer},
    )
    @action(detail=False, methods=["post"], pagination_class=None)
    @takes_up_to("MAX_TEMPLATE_BYTES")
    def publish(self, request: Request) -> Response:
        """Add a version, higher than all others, to your template that the file names.

        The first version of a name makes the template. A version never changes.
        """
        wish = query_of(request, PublishSerializer)
        content, media_type = raw_body(request, settings.MAX_TEMPLATE_BYTES)
        if (other := keeper()) is not None:
            refuse_unheeded(wish)
            told = other.publish(user=caller_of(request), content=content, media_type=media_type)
            return Response(told, status=status.HTTP_201_CREATED)
        version = services.publish_version(
            place=_place(request, wish),
            content=content,
            media_type=media_type,
            changelog=wish["changelog"],
            tags=wish.get("tags"),
        )
        return _published(version)

    @extend_schema(
        summary="Clone a template", request=CloneSerializer, responses={201: PublishedSerializer}
    )
    @action(detail=True, methods=["post"])
    def clone(self, request: Request, **_path: Any) -> Response:
        """Make a template of your own from a version of one that you see."""
        template = self.get_object()
        wish = valid(CloneSerializer(data=request.data))
        wish["visibility"] = Visibility(wish["visibility"])
        return _published(
            services.clone_template(by=caller_of(request), template_id=template.pk, **wish)
        )

    @extend_schema(
        summary="Choose the latest version", request=LatestSerializer, responses=VersionSerializer
    )
    @action(detail=True, methods=["post"])
    def latest(self, request: Request, **_path: Any) -> Response:
        """Have agents made from this version when none is named: back to an older one, too."""
        template = self.get_object()
        wish = valid(LatestSerializer(data=request.data))
        version = services.make_latest(by=caller_of(request), template_id=template.pk, **wish)
        return Response(VersionSerializer(version).data)

    @extend_schema(summary="Deprecate a template", request=None, responses=TemplateSerializer)
    @action(detail=True, methods=["post"])
    def deprecate(self, request: Request, **_path: Any) -> Response:
        """Have no more agents made from it. Those that are there stay as they are."""
        pk = self.get_object().pk
        services.deprecate_template(by=caller_of(request), template_id=pk)
        return self._told(pk)

    @extend_schema(
        summary="Take a template's deprecation back", request=None, responses=TemplateSerializer
    )
    @action(detail=True, methods=["post"])
    def undeprecate(self, request: Request, **_path: Any) -> Response:
        """Have agents made from it again."""
        pk = self.get_object().pk
        services.undeprecate_template(by=caller_of(request), template_id=pk)
        return self._told(pk)

    @extend_schema(summary="Export a template with all versions", responses=BundleSerializer)
    @action(detail=True, methods=["get"])
    def export(self, request: Request, **path: Any) -> StreamingHttpResponse:
        """Return everything that `import` takes."""
        template = services.visible_template(user=caller_of(request), template_id=path["pk"])
        return download(
            services.export_template(template),
            name=f"{template.name}.template.json",
            content_type="application/json",
        )

    @extend_schema(
        summary="Import a template with all versions",
        parameters=[PlaceSerializer],
        request=BundleSerializer,
        responses=ImportedSerializer,
    )
    @action(detail=False, methods=["post"], url_path="import", pagination_class=None)
    @takes_up_to("MAX_BUNDLE_BYTES")
    def import_bundle(self, request: Request) -> Response:
        """Bring in what `export` has given, as your own. Versions that are there are left alone."""
        place = _place(request, query_of(request, PlaceSerializer))
        imported = services.import_bundle(place=place, bundle=bundle_of(request))
        return Response(ImportedSerializer(imported).data)

    def _told(self, pk: UUID) -> Response:
        return Response(self.get_serializer(self.get_queryset().get(pk=pk)).data)


def _place(request: Request, wish: dict[str, Any]) -> services.Place:
    return services.Place(by=caller_of(request), visibility=Visibility(wish["visibility"]))


def _published(version: TemplateVersion) -> Response:
    where = reverse("template-version-detail", args=[version.template_id, version.version])
    answer = PublishedSerializer(version).data
    return Response(answer, status=status.HTTP_201_CREATED, headers={"Location": where})
