"""Lists in pages, in OpenAI's envelope."""

from collections.abc import Sequence
from typing import Annotated, Any, TypeAlias

from fastapi import Query

MAX_PAGE = 100
After: TypeAlias = Annotated[str, Query(max_length=64)]
PageSize: TypeAlias = Annotated[int, Query(ge=1, le=MAX_PAGE)]


def page(rows: Sequence[dict[str, Any]], limit: int, *, key: str = "id") -> dict[str, Any]:
    """The first ``limit`` of ``rows``, of which there is one more if there is another page.

    ``key``: the field whose last value a caller passes as ``after``.
    """
    data = list(rows[:limit])
    return {
        "object": "list",
        "data": data,
        "first_id": str(data[0][key]) if data else None,
        "last_id": str(data[-1][key]) if data else None,
        "has_more": len(rows) > limit,
    }
