from __future__ import annotations

from typing import TYPE_CHECKING, cast

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.holdings import export
from accounts.holdings.erasure import find_erasure
from accounts.holdings.serializers import ErasureSerializer, JobSerializer
from accounts.sessions.sensitive import sensitive
from gateway_core.downloads import download

if TYPE_CHECKING:
    from uuid import UUID

    from django.http import StreamingHttpResponse
    from rest_framework.request import Request

    from accounts.models import User


@sensitive("post")
class ExportView(APIView):
    """All that is held of the caller, as one ZIP that is made in the background."""

    @extend_schema(summary="How far is my export", tags=["me"], responses=JobSerializer)
    def get(self, request: Request) -> Response:
        """Tell the state of the newest export."""
        return Response(JobSerializer(export.last_export(cast("User", request.user).pk)).data)

    @extend_schema(
        summary="Export all that is held of me",
        tags=["me"],
        request=None,
        responses={202: JobSerializer},
    )
    def post(self, request: Request) -> Response:
        """Begin to make an export, unless one is being made."""
        job = export.ask_for_export(user=cast("User", request.user))
        return Response(JobSerializer(job).data, status=202)


@sensitive("get")
class ExportFileView(APIView):
    """The newest export itself."""

    @extend_schema(
        summary="Fetch my export",
        tags=["me"],
        responses={(200, "application/zip"): OpenApiTypes.BINARY},
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        """Send the ZIP; 404 while it is not ready, and a week after it was."""
        job = export.last_export(cast("User", request.user).pk)
        parts = export.parts(job)
        answer = download(parts, name="export.zip", content_type="application/zip")
        if size := job.result.get("bytes"):
            answer["Content-Length"] = str(size)
        return answer


class ErasureView(APIView):
    """For whoever knows the address: its id is random, and it tells nothing about a person."""

    authentication_classes = ()
    permission_classes = [AllowAny]

    @extend_schema(summary="How far is my erasure", tags=["me"], responses=ErasureSerializer)
    def get(self, _request: Request, job_id: UUID) -> Response:
        """Tell what each store has erased, and when. `DELETE /api/v1/me` has named this address.

        No token is asked for: after that call the account has none that is good.
        """
        answer = ErasureSerializer(find_erasure(job_id)).data
        return Response(answer, headers={"cache-control": "no-store"})
