"""One proxied request while it is on its way: what the steps read, decide and hand on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from uuid import UUID

    from gateway_core.asgi import Receive, Scope, Send
    from gateway_core.context import RequestRecord
    from gateway_core.errors import GatewayError
    from gateway_core.proxy.form import FieldCheck
    from gateway_core.proxy.operations import Catalogue, Operation
    from gateway_core.rates import Quota
    from gateway_core.room import Share
    from gateway_core.upstream import Upstream


Carry: TypeAlias = "Callable[[Exchange], Awaitable[None]]"


class Principal(Protocol):
    """Whoever makes the request, as far as the data plane has to know."""

    @property
    def user_id(self) -> UUID:
        """The gateway user, who owns and pays."""
        ...

    @property
    def scopes(self) -> frozenset[str] | None:
        """What the credential is limited to, None when it is not."""
        ...

    @property
    def api_key_id(self) -> UUID | None:
        """The API key that was presented, None when it was none."""
        ...

    @property
    def stands_until(self) -> float:
        """Unix seconds at which what is under way has to prove itself again; infinity: never."""
        ...


class AnswerFailed(Exception):
    """The upstream says in its stream that it has failed, in words that are not for the caller.

    Attributes:
        error: what the caller gets in their place.
        before: what of the piece comes before them, and is for the caller.
    """

    def __init__(self, error: GatewayError, before: bytes = b"") -> None:
        self.error = error
        self.before = before
        super().__init__(str(error))


class Observer(Protocol):
    """Watches an answer go by; of an event stream it may end it or take frames out."""

    def feed(self, piece: bytes) -> bytes:
        """See the next piece of the body and return what of it the caller gets.

        Of an event stream, pieces are whole frames, unless one is longer than the relay holds. Of
        any other body they go on as they are, whatever is returned.

        Raises:
            AnswerFailed: the answer ends within this piece.
        """
        ...

    def finish(self) -> None:
        """The body has ended, whole or not."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What a proxying app declares: an upstream, its operations, and its part in each step.

    Attributes:
        name: of the route, a metric label.
        scope: what a credential with scopes must have to go this way.
        prefixes: path prefixes below which the route lives; the rest is matched.
        upstream: returns which upstream an operation leads to.
        catalogue: everything that may be forwarded.
        identify: reads the caller's credential; again, while the request is under way, when
            something has changed for the user. Raises TokenRejected, KeysUnavailable.
        quota: returns how many such requests the caller may make.
        authorize: decides, and sets what goes upstream (``target``, ``query``, ``headers``,
            ``payload``). Raises what it refuses with.
        once: calls what it is given with the exchange, which authorizes, forwards and relays; or
            answers itself what has been answered before.
        translate: turns an upstream's error answer (status, headers, body) into ours.
        mend: asked after an UpstreamError, before the caller has any answer: mends what the request
            failed for, sets anew what goes upstream, and says whether it is to be sent once more.
        reshape: for JSON answers of operations that need it: sees and returns the parsed answer
            before the caller gets it; None when the answer passes as it is.
        observe: makes the watcher of a body that passes as it is.
        settle: runs at every end, before the caller has the last byte: completes the record.
        goes_on_when_short: of memory; for calls that are part of what is under way already.
    """

    name: str
    scope: str
    prefixes: tuple[str, ...]
    upstream: Callable[[Any], Upstream]
    catalogue: Catalogue[Any]
    identify: Callable[[Exchange], Awaitable[Principal]]
    quota: Callable[[Exchange], Awaitable[Quota]]
    authorize: Callable[[Exchange], Awaitable[None]]
    translate: Callable[[Exchange, int, bytes], GatewayError]
    once: Callable[[Exchange, Carry], Awaitable[None]] | None = None
    mend: Callable[[Exchange], Awaitable[bool]] | None = None
    reshape: Callable[[Exchange], Callable[[Any], Awaitable[Any]] | None] | None = None
    observe: Callable[[Exchange], Observer | None] | None = None
    settle: Callable[[Exchange], Awaitable[None]] | None = None
    goes_on_when_short: bool = False


@dataclass(slots=True)
class Exchange:
    """The state of one request.

    Attributes:
        request_headers: the caller's, for reading.
        headers: what goes upstream.
        payload: the parsed JSON body, which is what is forwarded.
        check_form_field: sees each field of a form.
        is_sent: the upstream may have begun with it.
        upstream_status, upstream_headers: of the answer, once its head has come.
        is_within_frame: the caller has had the beginning of an event only.
        is_waiting_for_client: the answer goes no faster than it is read, or an upload no faster
            than it comes.
        share: counts the bytes of both bodies in memory; None as long as there are none.
        notes: what the route's steps leave for each other.
    """

    route: Route
    scope: Scope
    receive: Receive
    send: Send
    record: RequestRecord
    request_headers: list[tuple[bytes, bytes]]
    principal: Any = None
    operation: Operation | Any = None
    upstream: Upstream | Any = None
    params: dict[str, str] = field(default_factory=dict)
    query: str = ""
    target: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    payload: Any = None
    check_form_field: FieldCheck | None = None
    is_sent: bool = False
    upstream_status: int = 0
    upstream_headers: Mapping[str, str] = field(default_factory=dict)
    started: bool = False
    is_stream: bool = False
    is_within_frame: bool = False
    is_settled: bool = False
    observer: Observer | None = None
    client_gone: bool = False
    is_waiting_for_client: bool = False
    share: Share | None = None
    notes: dict[str, Any] = field(default_factory=dict)
