"""What routes are given: the use cases, and who is calling.

What FastAPI resolves is ``async`` even where it waits for nothing: anything else it sends through a thread.
"""

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, cast

from fastapi import Depends, Path, Request

from rap_serve.domain.catalogue import Attempt, Audit, Jobs, Quotas, Replies, Tenants, Usage
from rap_serve.domain.concept import Owner
from rap_serve.domain.errors import InvalidInput
from rap_serve.domain.ports import Pictures
from rap_serve.domain.tenancy import Caller
from rap_serve.services.accept_loss import AcceptLoss
from rap_serve.services.administer import Administer
from rap_serve.services.admit import Admit
from rap_serve.services.answer import Answer
from rap_serve.services.asked import AskedPictures
from rap_serve.services.authenticate import Authenticate
from rap_serve.services.edit import Edit, Forget
from rap_serve.services.embedding import EmbeddingModels
from rap_serve.services.erase import Erase
from rap_serve.services.history import History
from rap_serve.services.meter import Meter
from rap_serve.services.move import MoveTenant
from rap_serve.services.recall import Recall
from rap_serve.services.reembed import StartReembedding
from rap_serve.services.remember import Remember
from rap_serve.services.retrieve import Retrieval, Retrieve
from rap_serve.services.share import ShareConcepts
from rap_serve.services.throttle import Throttle
from rap_serve.services.timings import Timings
from rap_serve.services.transfer import StartTransfers
from rap_serve.settings import LimitSettings


class ApiMetrics(Protocol):
    """Where requests and answers are counted."""

    def request_began(self) -> None: ...

    def request(self, *, route: str, method: str, status: int, seconds: float) -> None: ...

    def answer_began(self, given: Retrieval, *, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UseCases:
    """All that the service can do, wired once at start. ``check_ready`` raises Unavailable.

    ``background``: what runs as long as the gateway does.
    """

    authenticate: Authenticate
    administer: Administer
    accept_loss: AcceptLoss
    move: MoveTenant
    throttle: Throttle
    admit: Admit
    meter: Meter
    tenants: Tenants
    quotas: Quotas
    usage: Usage
    audit: Audit
    replies: Replies
    jobs: Jobs
    transfers: StartTransfers
    erase: Erase
    embedding: EmbeddingModels
    reembed: StartReembedding
    background: tuple[Callable[[], Coroutine[None, None, None]], ...]
    pictures: Pictures
    asked: AskedPictures
    check_ready: Callable[[], Awaitable[None]]
    recall: Recall
    remember: Remember
    edit: Edit
    forget: Forget
    history: History
    share: ShareConcepts
    retrieve: Retrieve
    answer: Answer
    model: str
    max_tokens: int
    limits: LimitSettings
    deadline_seconds: float


async def use_cases(request: Request) -> UseCases:
    """The use cases of this application."""
    return cast(UseCases, request.app.state.use_cases)


def api_metrics(request: Request) -> ApiMetrics:
    """Where this application counts."""
    return cast(ApiMetrics, request.app.state.metrics)


def caller(request: Request) -> Caller:
    """Who the gate found behind the key."""
    return cast(Caller, request.state.caller)


def tenant(request: Request) -> str:
    """The tenant behind the key."""
    return caller(request).tenant


async def path_owner(request: Request, user: Annotated[str, Path()]) -> Owner:
    """The owner a path speaks of: the key's tenant, the path's user."""
    return Owner(tenant(request), user)


async def timings(request: Request) -> Timings:
    """Those of the request."""
    return cast(Timings, request.state.timings)


async def attempt(request: Request) -> Attempt | None:
    """Which attempt this is at what its idempotency key stands for; None without a key."""
    return cast("Attempt | None", getattr(request.state, "attempt", None))


def only_known(*names: str) -> Any:
    """A dependency that refuses query parameters besides these: a filter that is misspelt must not be passed over."""

    async def check(request: Request) -> None:
        unknown = sorted(set(request.query_params) - set(names))
        if unknown:
            raise InvalidInput(f"Unknown parameter {unknown[0]!r}; known: {', '.join(names)}.")

    return Depends(check)


UseCasesDep = Annotated[UseCases, Depends(use_cases)]
OwnerDep = Annotated[Owner, Depends(path_owner)]
TimingsDep = Annotated[Timings, Depends(timings)]
AttemptDep = Annotated[Attempt | None, Depends(attempt)]
