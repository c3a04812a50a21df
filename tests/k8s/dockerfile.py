"""A Dockerfile, as far as it has to be understood to be held against rules. No container engine is needed for it."""

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Instruction:
    """One of them: ``RUN`` and what it runs, ``COPY`` and what it copies."""

    name: str
    value: str


def instructions(path: Path) -> list[Instruction]:
    """All of ``path``'s in order, with the defaults of its arguments put in."""
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    text = re.sub(r"\\\n\s*", "", "\n".join(lines))
    arguments: dict[str, str] = {}
    found = []
    for line in filter(None, text.splitlines()):
        name, _, value = line.partition(" ")
        for argument, default in arguments.items():
            value = value.replace(f"${{{argument}}}", default)
        if name == "ARG":
            key, _, default = value.partition("=")
            arguments[key] = default
        found.append(Instruction(name, value))
    return found


def bases(found: list[Instruction]) -> list[str]:
    """The images that its stages begin with."""
    return [i.value.split()[0] for i in found if i.name == "FROM"]


def last_stage(found: list[Instruction]) -> list[Instruction]:
    """What ends up in the image."""
    start = max(number for number, i in enumerate(found) if i.name == "FROM")
    return found[start:]
