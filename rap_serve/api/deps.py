"""What routes are given: the use cases, and who is calling."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Path, Request

from rap_serve.domain.concept import Owner
from rap_serve.domain.ports import Pictures
from rap_serve.services.answer import Answer
from rap_serve.services.authenticate import Authenticate
from rap_serve.services.edit import Edit, Forget
from rap_serve.services.history import History
from rap_serve.services.recall import Recall
from rap_serve.services.remember import Remember
from rap_serve.services.retrieve import Retrieve
from rap_serve.settings import LimitSettings


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UseCases:
    """All that the service can do, wired once at start. ``check_ready`` raises Unavailable."""

    authenticate: Authenticate
    pictures: Pictures
    check_ready: Callable[[], Awaitable[None]]
    recall: Recall
    remember: Remember
    edit: Edit
    forget: Forget
    history: History
    retrieve: Retrieve
    answer: Answer
    model: str
    max_tokens: int
    limits: LimitSettings


def use_cases(request: Request) -> UseCases:
    """The use cases of this application."""
    return cast(UseCases, request.app.state.use_cases)


def tenant(request: Request) -> str:
    """The tenant that the gate found behind the key."""
    return cast(str, request.state.tenant)


def path_owner(request: Request, user: Annotated[str, Path()]) -> Owner:
    """The owner a path speaks of: the key's tenant, the path's user."""
    return Owner(tenant(request), user)


UseCasesDep = Annotated[UseCases, Depends(use_cases)]
OwnerDep = Annotated[Owner, Depends(path_owner)]
