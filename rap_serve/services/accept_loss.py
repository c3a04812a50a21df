"""What the memory lost of a user's concepts is let go, so that the user is served with what is left."""

import time
from dataclasses import dataclass

from rap_serve.domain.catalogue import Audit, Quotas
from rap_serve.domain.concept import Owner
from rap_serve.domain.errors import Unavailable
from rap_serve.domain.ports import Cache, ConceptMemory
from rap_serve.domain.tenancy import Act, Caller, holdings


@dataclass(frozen=True, slots=True)
class Loss:
    """How many concepts of a user's were acknowledged, and how many of them the memory still finds."""

    counted: int
    found: int


class AcceptLoss:
    """For rows that do not come back: the user has what the memory finds from now on, by somebody's decision."""

    def __init__(self, *, memory: ConceptMemory, cache: Cache, quotas: Quotas, audit: Audit) -> None:
        """``memory``: one that gives what it finds, whole or not."""
        self._memory = memory
        self._cache = cache
        self._quotas = quotas
        self._audit = audit

    async def __call__(self, caller: Caller, owner: Owner) -> Loss:
        """Where nothing is missing nothing is done. Raises Unavailable, also while the user is written to."""
        async with self._cache.writing(owner) as write:
            if not write.alone:
                raise Unavailable("Another write to this memory may be under way; try again.")
            counted, library = await self._quotas.counted(owner), await self._memory.library(owner)
            loss = Loss(counted.settled, len(library.concepts))
            if loss.found < counted.least:
                await self._audit.note(_act(caller, owner, loss))
                await self._quotas.correct(owner, holdings(library.concepts))
        return loss


def _act(caller: Caller, owner: Owner, loss: Loss) -> Act:
    return Act(
        at=time.time_ns() // 1_000_000,
        tenant=owner.tenant,
        actor=caller.key_id,
        action="user.accept-loss",
        target=owner.user,
        detail={"counted": loss.counted, "found": loss.found},
    )
