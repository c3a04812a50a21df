"""One act of a load test, as it is written down and read again."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """One act. ``at``: when it was sent, in Unix time. ``first_ms``: until the first token.

    ``token_ms``: per further token. ``error``: None where all was well. ``violated``: it was answered, and wrongly.
    ``attempts``: how often it was sent. ``cut``: a stream of it ended before its answer did.
    """

    at: float
    act: str
    status: int
    total_ms: float
    first_ms: float | None = None
    token_ms: float | None = None
    tokens: int = 0
    cache: str = ""
    concepts: int = 0
    error: str | None = None
    rejected: bool = False
    violated: bool = False
    attempts: int = 1
    cut: bool = False

    def json(self) -> dict[str, object]:
        """One line of the record."""
        return asdict(self)
