"""``/api/v1/system/policy``: why a request to Letta is allowed or denied, for staff."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from asgiref.sync import async_to_sync
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.authentication import SessionAuthentication
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import SupabaseAuthentication
from accounts.models import User
from accounts.people import users_named
from accounts.staff import Staff
from gateway_core.intake import valid
from letta_proxy.rules.coverage import complaint
from letta_proxy.rules.decisions import Rule
from letta_proxy.rules.explain import Question, explain
from letta_proxy.rules.history import MOST_EVENTS, tally
from letta_proxy.rules.models import Effect, Method, Role
from letta_proxy.rules.patterns import normalised
from letta_proxy.rules.steps import Answer, Outcome

if TYPE_CHECKING:
    from rest_framework.request import Request

_MOST_RULES: Final = 10


class TriedRuleSerializer(serializers.Serializer[Any]):
    """A rule that is tried and not saved."""

    effect = serializers.ChoiceField(Effect.values, default=Effect.DENY.value)
    method = serializers.ChoiceField(Method.values, default="", allow_blank=True)
    path_pattern = serializers.CharField(max_length=255)
    user = serializers.UUIDField(default=None, allow_null=True)
    role = serializers.ChoiceField(Role.values, default="", allow_blank=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Hold it to what a saved rule is held to."""
        attrs["path_pattern"] = normalised(attrs["path_pattern"])
        if problem := complaint(attrs["method"], attrs["path_pattern"]):
            raise serializers.ValidationError({"path_pattern": problem})
        if attrs["user"] and attrs["role"]:
            raise serializers.ValidationError({"role": "Choose a user or a role, not both."})
        return attrs


class SimulationSerializer(serializers.Serializer[Any]):
    """A request that somebody might make."""

    user = serializers.CharField(help_text="Whole e-mail address or id.")
    method = serializers.ChoiceField(Method.values)
    path = serializers.RegexField(
        r"^/", max_length=2000, help_text="As a client sends it; with or without /api/v1/letta."
    )
    query = serializers.CharField(default="", allow_blank=True, max_length=8000)
    body = serializers.JSONField(default=None, allow_null=True, help_text="The JSON body, if any.")
    rules = serializers.ListField(
        child=TriedRuleSerializer(),
        default=list,
        max_length=_MOST_RULES,
        help_text="Rules to be tried beside those in force.",
    )

    def validate_user(self, term: str) -> User:
        """Find the user."""
        try:
            return users_named(term).get()
        except User.DoesNotExist as exc:
            raise serializers.ValidationError("There is no such user.") from exc
        except User.MultipleObjectsReturned as exc:
            raise serializers.ValidationError(
                "Several users have this address. Give the id."
            ) from exc


class StepSerializer(serializers.Serializer[Any]):
    """One thing that was looked at, and the answer if the request ends there."""

    name = serializers.CharField()
    outcome = serializers.ChoiceField([outcome.value for outcome in Outcome])
    detail = serializers.CharField()
    status = serializers.IntegerField(help_text="0: the request goes on.")
    code = serializers.CharField()
    param = serializers.CharField()


class TallySerializer(serializers.Serializer[Any]):
    """What a tried rule would have matched of the last requests."""

    rule = serializers.CharField()
    matched = serializers.IntegerField()
    events = serializers.IntegerField(help_text=f"Requests looked at, {MOST_EVENTS} at the most.")
    since = serializers.DateTimeField()


class ExplanationSerializer(serializers.Serializer[Any]):
    """Every step in the order in which a request takes them."""

    answer = serializers.ChoiceField([answer.value for answer in Answer])
    status = serializers.IntegerField(help_text="Of the denial; 0 when it is allowed.")
    code = serializers.CharField()
    steps = StepSerializer(many=True)
    tried = TallySerializer(many=True)


class SimulationView(APIView):
    """For staff: with a token, or signed in to the admin."""

    authentication_classes = [SupabaseAuthentication, SessionAuthentication]
    permission_classes = [Staff]

    @extend_schema(
        summary="Why is a request to Letta allowed or denied",
        tags=["system"],
        request=SimulationSerializer,
        responses=ExplanationSerializer,
    )
    def post(self, request: Request) -> Response:
        """Every step of a request's way, without making it. For staff only.

        Rules that come along are tried beside those in force, and counted against the requests of
        the last 24 hours.
        """
        asked = valid(SimulationSerializer(data=request.data))
        tried = [_rule(number, rule) for number, rule in enumerate(asked["rules"], 1)]
        question = Question(
            user=asked["user"],
            method=asked["method"],
            path=asked["path"],
            query=asked["query"],
            body=asked["body"],
            unsaved=tuple(tried),
            show_owners=True,
        )
        explanation = async_to_sync(explain)(question)
        document = {**explanation.as_document(), "tried": _tallied(tried)}
        return Response(ExplanationSerializer(document).data)


def _rule(number: int, given: dict[str, Any]) -> Rule:
    return Rule(
        id=f"tried-{number}",
        effect=Effect(given["effect"]),
        method=given["method"],
        path_pattern=given["path_pattern"],
        user_id=given["user"],
        role=given["role"],
        reason="not saved",
    )


def _tallied(rules: list[Rule]) -> list[dict[str, Any]]:
    found = tally(rules) if rules else {}
    return [{"rule": rule_id, **asdict(counted)} for rule_id, counted in found.items()]
