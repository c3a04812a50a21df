"""What the generator is told; apart from it, since importing that makes this process's sockets cooperative."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do to whom. ``record``: the file of acts, one JSON a line. ``retries``: of what fails."""

    url: str
    operator_key: str
    record: str
    scenario: dict[str, Any]
    tenants: int
    users: int
    concepts: int
    seed: int = 0
    retries: int = 0

    def write(self, path: Path) -> None:
        """For the generator to read; it holds a key."""
        path.touch(mode=0o600)
        path.write_text(json.dumps(asdict(self)))
