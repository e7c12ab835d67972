"""What a driver does. ``agents.services`` does everything else: rows, quotas, owners, the trail.

Every method is synchronous, is called outside of transactions, and raises ``GatewayError``:
``UpstreamUnreachable`` when nothing was sent, other ``UpstreamError`` when nobody knows what became
of the call, anything else when it certainly had no effect.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from gateway_core.errors import (
    GatewayError,
    PolicyError,
    QuotaError,
    UpstreamError,
    UpstreamInterrupted,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from uuid import UUID

    from accounts.models import User
    from agents.snapshots import Snapshot
    from letta_proxy.services import FoundAgent


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An agent that is to be made.

    Attributes:
        tag: is on it in Letta, so that it is found again.
        key: the same when the order is repeated, and no other order's.
    """

    user_id: UUID
    tag: str
    key: str
    name: str
    description: str = ""
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Blueprint:
    """What it is made from.

    Attributes:
        version: empty while a remote AMS of the old dialect has yet to say which is the latest.
        version_row: primary key of the version, None when a remote AMS keeps it.
        variables: with defaults; secret ones in clear.
        secret_names: which of them are secret.
        document: the Agent File with the variables put in, None when only a remote AMS has it.
    """

    template_id: str
    template_name: str = ""
    version: str = ""
    checksum: str = ""
    version_row: int | None = None
    is_deprecated: bool = False
    variables: Mapping[str, Any] = field(default_factory=dict, repr=False)
    secret_names: frozenset[str] = frozenset()
    document: Mapping[str, Any] | None = field(default=None, repr=False)

    @property
    def environment(self) -> dict[str, str]:
        """What tools see, secrets included."""
        return dict((self.document or {}).get("tool_env") or {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """An agent that was made.

    Attributes:
        document: as its owner sees it in Letta.
        version, checksum: of the template, as far as only the answer tells.
    """

    document: dict[str, Any]
    version: str = ""
    checksum: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyOptions:
    """What of an agent goes into its copy.

    Attributes:
        with_memory: blocks and passages as they are now; else ``initial_blocks`` and no passages.
        with_messages: the messages in its context.
        initial_blocks: as the template has them, in the form of Letta's bodies.
    """

    with_memory: bool
    with_messages: bool
    initial_blocks: tuple[Mapping[str, Any], ...] = ()


@contextmanager
def after_effect() -> Iterator[None]:
    """Wrap what is done once a call has had an effect: no failure may say any more it had none."""
    try:
        yield
    except GatewayError as exc:
        raise UpstreamInterrupted(exc.detail) from exc


def reason_of(error: GatewayError) -> GatewayError:
    """Return what a call failed for, once nothing remains of the effect that it has had."""
    while isinstance(error.__cause__, PolicyError | QuotaError | UpstreamError):
        error = error.__cause__
    return error


class AgentManager(Protocol):
    """A driver.

    Attributes:
        upgrades_elsewhere: another service plans and carries out upgrades.
    """

    upgrades_elsewhere: bool

    def plan(
        self,
        *,
        user: User,
        template_id: str,
        version: str,
        variables: Mapping[str, Any],
        former: Mapping[str, Any] | None = None,
    ) -> Blueprint:
        """Return what an agent would be made from, without making anything.

        Args:
            version: a semantic version, or ``latest``.
            former: the variables of an agent that is there already, which may also become what a
                deprecated version says. Those that the version still has stay unless others are
                given.

        Raises:
            ResourceNotFound: no such version, or not for this user.
            ResourceConflict: it is deprecated.
            FieldInvalid: variables are missing, unknown or don't fit; pointers below /variables.
        """
        ...

    def create(self, order: Order, blueprint: Blueprint) -> Made:
        """Make an agent from a blueprint."""
        ...

    def copy(self, order: Order, source_id: str, options: CopyOptions) -> Made:
        """Make an agent like another one of the same user's, with what that one's tools see."""
        ...

    def restore(self, order: Order, snapshot: Snapshot, environment: Mapping[str, str]) -> Made:
        """Make an agent from a snapshot, which may be anybody's work."""
        ...

    def snapshot(self, *, user_id: UUID, agent_id: str, with_messages: bool) -> Snapshot:
        """Return all that an agent is, with its memory.

        Raises:
            ResourceNotFound: it is gone.
        """
        ...

    def apply(  # noqa: PLR0913 - the parts of a change
        self,
        *,
        user_id: UUID,
        agent_id: str,
        tag: str,
        body: Mapping[str, Any],
        environment: Mapping[str, str] | None = None,
        document: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Bring an agent to what a snapshot's body says, and return Letta's document of it.

        Members that the body lacks stay as they are. ``memory_blocks``, when there, are all blocks:
        others are taken away. ``environment`` None leaves that alone, too. Repeatable.

        Args:
            document: what Letta has just said of the agent, where that is known.
        """
        ...

    def put_block(self, *, user_id: UUID, agent_id: str, block: Mapping[str, Any]) -> None:
        """Change what is given of the block of that ``label``, or make it. Repeatable."""
        ...

    def drop_block(self, *, user_id: UUID, agent_id: str, label: str) -> None:
        """Take the block of that label away; what is gone is done."""
        ...

    def takes_choices(self) -> bool:
        """Say whether another service that upgrades agents heeds more than version and variables.

        That is: strategies, force and the hash of a plan.
        """
        ...

    def upgrade(
        self, *, user_id: UUID, agent_id: str, wish: Mapping[str, Any], key: str = ""
    ) -> dict[str, Any] | None:
        """Have another service upgrade an agent, and return its answer.

        Args:
            wish: ``target_version`` or ``use_latest``, ``variables``, always ``dry_run``; and what
                was chosen, where that is heeded.
            key: of idempotency.

        Returns:
            ``{plan, diff, warnings, dry_run}``, with choices heeded ``conflicts, plan_hash,
            target_version`` too; or ``{plan, applied, new_version}`` when it was
            done. None without ``upgrades_elsewhere``.
        """
        ...

    def target_version(
        self, *, by: User | None, owner: User | None, template_id: str, version: str
    ) -> str:
        """Return the version that all agents of a template are to go to.

        Args:
            by: who wants it, None for a command.
            owner: somebody who has an agent that was made from the template, if there is anybody.
            version: a semantic version, or ``latest``.

        Raises:
            ResourceNotFound: no such version, or not for them.
            FieldInvalid: nobody knows which is the latest; pointer /target_version.
        """
        ...

    def set_suspended(self, *, user_id: UUID, agent_id: str, is_suspended: bool) -> None:
        """Tell whoever else manages agents. The gateway itself keeps requests away."""
        ...

    def delete(self, *, user_id: UUID, agent_id: str) -> None:
        """Delete an agent with its own blocks and archive; what is gone is done."""
        ...

    def find(self, *, user_id: UUID, tag: str) -> list[FoundAgent]:
        """Return the user's agents with a tag."""
        ...

    def agents_of(self, user_id: UUID) -> Iterator[FoundAgent]:
        """Yield all of the user's agents."""
        ...

    def read(self, *, user_id: UUID, agent_id: str) -> dict[str, Any] | None:
        """Return Letta's document of an agent as its owner sees it, None when it is gone."""
        ...

    def environment(self, *, user_id: UUID, agent_id: str) -> dict[str, str]:
        """Return what an agent's tools see now, secrets included.

        Letta knows, whatever became of the template, and whoever keeps it.

        Raises:
            ResourceNotFound: the agent is gone.
            UpstreamAnswerInvalid: Letta keeps it to itself.
        """
        ...

    def receive(self, *, user_id: UUID, agent_id: str) -> dict[str, Any] | None:
        """Return the document of an agent of which only Letta knows, as far as it was made.

        From then on it calls its models at the gateway. None when it is gone.
        """
        ...

    def publish(self, *, user: User, content: bytes, media_type: str) -> dict[str, Any]:
        """Publish an Agent File: ``{template_id, version, checksum, is_latest}``."""
        ...

    def validate(self, *, user: User, content: bytes, media_type: str) -> dict[str, Any]:
        """Look at an Agent File: ``{format, validation: {valid, errors}}``."""
        ...

    def health(self) -> dict[str, Any]:
        """Return ``{status, checks}`` of whoever manages agents."""
        ...
