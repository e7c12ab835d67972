"""The proof from its beginning to its end: make, try, compare, use, clear away."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

from letta_proxy.catalogue import CATALOGUE
from letta_proxy.catalogue.operation import Use
from letta_proxy.models import Kind
from letta_proxy.proof import cases
from letta_proxy.proof.detours import detours
from letta_proxy.proof.positions import gaps, positions
from letta_proxy.proof.report import Report
from letta_proxy.proof.specimens import IN_BACKGROUND
from letta_proxy.proof.trials import Who, family_of, request_for
from letta_proxy.proof.verdict import judge, plain
from letta_proxy.proof.wire import Caller, Request
from letta_proxy.proof.world import PREFIX, World, choose_models
from letta_proxy.reshape import created

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from letta_proxy.catalogue.operation import LettaOperation
    from letta_proxy.proof.trials import Trial
    from letta_proxy.proof.wire import Answer

_SUCCESS: Final = range(200, 300)
# In this order: what goes with an agent is deleted before it.
_COLLECTIONS: Final = {
    Kind.ARCHIVE: "archives",
    Kind.BLOCK: "blocks",
    Kind.FOLDER: "folders",
    Kind.AGENT: "agents",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be proved, of which gateway.

    Attributes:
        tokens: of the people who take part. Without one for the staff these are left out.
        pattern: of the names or paths of operations, as a shell has patterns.
        model, embedding: handles; the first that the gateway lists when they are empty.
        is_cloud: Letta Cloud stands behind the gateway.
        say: is told what goes on.
    """

    base_url: str
    tokens: Mapping[Who, str]
    pattern: str = "*"
    model: str = ""
    embedding: str = ""
    is_cloud: bool = False
    say: Callable[[str], None] = lambda _line: None

    def operations(self) -> list[LettaOperation]:
        """Return the rows of the catalogue that are meant."""
        return [
            one
            for one in CATALOGUE.operations
            if fnmatchcase(one.name, self.pattern) or fnmatchcase(one.path, self.pattern)
        ]


def check_declarations(plan: Plan) -> Report:
    """Return what the catalogue alone shows: ids without an owner rule. Nothing is sent."""
    report = Report()
    for operation in plan.operations():
        count = report.counts[family_of(operation)]
        if not operation.is_offered:
            count.closed += 1
            continue
        count.offered += 1
        count.positions += len(positions(operation))
        for gap in gaps(operation):
            report.add(family_of(operation), operation.name, "anybody", "declaration", gap)
    return report


def prove(plan: Plan) -> Report:
    """Try everything against the gateway and return what was found.

    Raises:
        WorldIncomplete: a thing that the proof needs could not be made.
        OSError, http.client.HTTPException: the gateway does not answer.
    """
    report = check_declarations(plan)
    with _people(plan, report) as proof:
        proof.build()
        before = proof.lasting_view()
        for trial in proof.attacks():
            proof.carry_out(trial)
        proof.compare(before, proof.owners_view())
        plan.say("using everything as its owner")
        for operation in cases.in_order_of_use(proof.offered):
            for trial in cases.of_the_owner(operation, proof.worlds[Who.OWNER]):
                proof.carry_out(trial)
    return report


@contextmanager
def _people(plan: Plan, report: Report) -> Iterator[_Proof]:
    with ExitStack() as stack:
        callers = {
            who: Caller(plan.base_url.rstrip("/"), plan.tokens.get(who), plan.say)
            for who in Who
            if who in plan.tokens or who is Who.ANONYMOUS
        }
        for caller in callers.values():
            stack.callback(caller.close)
        proof = _Proof(plan=plan, report=report, callers=callers)
        stack.callback(proof.clear_away)
        yield proof


@dataclass(slots=True, kw_only=True)
class _Proof:
    plan: Plan
    report: Report
    callers: dict[Who, Caller]
    worlds: dict[Who, World] = field(default_factory=dict)
    offered: list[LettaOperation] = field(default_factory=list)
    _tried: int = 0

    def build(self) -> None:
        models = choose_models(self.callers[Who.OWNER], self.plan.model, self.plan.embedding)
        for who, caller in self.callers.items():
            if who is not Who.ANONYMOUS:
                self.plan.say(f"making one of everything for the {who}")
                self.worlds[who] = World(who=who, caller=caller, models=models)
                self.worlds[who].build()
        self.offered = [one for one in self.plan.operations() if one.is_offered]
        self._compare_ids()
        if Who.STAFF not in self.worlds:
            self.report.untried.append(Who.STAFF)

    def _compare_ids(self) -> None:
        """Note an id that two users have; on Letta Cloud they share the tools."""
        owner = self.worlds[Who.OWNER]
        for who, world in self.worlds.items():
            for name, upstream_id in world.ids.items():
                is_shared = upstream_id == owner.ids[name] and name.endswith("_id")
                if (
                    who is not Who.OWNER
                    and is_shared
                    and (name, self.plan.is_cloud)
                    != (
                        "tool_id",
                        True,
                    )
                ):
                    what = f"{name} {upstream_id}"
                    self.report.add("agents", "isolation", who, what, "it is also the owner's")

    def attacks(self) -> Iterator[Trial]:
        owner = self.worlds[Who.OWNER]
        strangers = {who: world for who, world in self.worlds.items() if who is not Who.OWNER}
        family = ""
        for operation in sorted(self.plan.operations(), key=family_of):
            if family_of(operation) != family:
                family = family_of(operation)
                self.plan.say(f"trying {family}")
            if operation.is_offered:
                yield cases.of_nobody(operation, owner)
                for who, stranger in strangers.items():
                    yield from cases.of_a_stranger(operation, who, owner, stranger)
            else:
                for anybody in self.callers:
                    yield cases.of_what_is_closed(operation, anybody, owner)
        if self.plan.pattern == "*":
            self.plan.say("trying what is not documented, and detours")
            for anybody in self.callers:
                yield from cases.of_what_is_undocumented(anybody, owner)
        yield from detours(self.offered, owner, strangers[Who.OTHER], self._actor(owner))

    def carry_out(self, trial: Trial) -> None:
        """Send a trial and its twin, in turns one and the other first, and judge the answer."""
        caller, twin = self.callers[trial.who], None
        self._tried += 1
        if trial.twin and self._tried % 2:
            twin = self._send(caller, trial, trial.twin)
        answer = self._send(caller, trial, trial.request)
        if trial.twin and twin is None:
            twin = self._send(caller, trial, trial.twin)
        if twin is not None:
            self.report.time(trial, answer.seconds, twin.seconds)
        for complaint in judge(trial, answer, twin, self._private(trial.who)):
            self.report.add(trial.family, trial.operation, trial.who, trial.what, complaint)

    def lasting_view(self) -> dict[str, Any]:
        """Return the owner's view without what differs each time that one looks."""
        first, second = self.owners_view(), self.owners_view()
        return {name: seen for name, seen in first.items() if second[name] == seen}

    def owners_view(self) -> dict[str, Any]:
        """Return what the owner reads of each of their things."""
        owner = self.worlds[Who.OWNER]
        view = {}
        for operation in CATALOGUE.operations:
            is_read = operation.method == "GET" and operation.use is Use.READ
            if operation.is_offered and is_read and operation.owners:
                answer = owner.caller.send(request_for(operation, owner.words()))
                view[operation.name] = (answer.status, plain(answer))
        return view

    def compare(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        """Note what of the owner's is not as it was."""
        for operation in CATALOGUE.operations:
            name = operation.name
            if name in before and before[name] != after[name]:
                complaint = f"the owner's thing is not as it was: {str(after[name])[:160]}"
                when = "after all attempts of the others"
                self.report.add(family_of(operation), name, "anybody", when, complaint)

    def clear_away(self) -> None:
        """Delete what was made, as far as it is still there."""
        self.plan.say("deleting what was made")
        for world in self.worlds.values():
            for kind, collection in _COLLECTIONS.items():
                for upstream_id in world.made.get(kind, ()):
                    target = f"{PREFIX}/{collection}/{upstream_id}"
                    world.caller.send(Request(method="DELETE", target=target))

    def _send(self, caller: Caller, trial: Trial, request: Request) -> Answer:
        answer = caller.send(request)
        self.report.counts[trial.family].requests += 1
        if answer.status in _SUCCESS and trial.who in self.worlds:
            self._take_note(trial, answer)
        return answer

    def _take_note(self, trial: Trial, answer: Answer) -> None:
        operation = next((one for one in self.offered if one.name == trial.operation), None)
        world = self.worlds[trial.who]
        if operation is not None and operation.creates:
            for thing in created(operation, answer.json()):
                world.note(thing.kind, thing.upstream_id)
        if trial.operation in IN_BACKGROUND:
            world.wait_until_over(answer.json()["id"])

    def _private(self, who: Who) -> frozenset[str]:
        owner = self.worlds[Who.OWNER]
        return owner.private(self.worlds.get(who, owner)) if who is not Who.OWNER else frozenset()

    def _actor(self, owner: World) -> str:
        """Return the id by which Letta knows the owner; they are told it with their agent."""
        request = Request(method="GET", target=f"{PREFIX}/agents/{owner.ids['agent_id']}")
        agent = owner.caller.send(request).json() or {}
        return str(agent.get("created_by_id") or "user-00000000-0000-4000-8000-000000000000")
