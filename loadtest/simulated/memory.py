"""What an engine remembers: encodings of pictures and beginnings of prompts; what was used longest ago goes first."""

from collections.abc import Hashable, Iterator, Sequence
from typing import TypeAlias

from rap_serve.domain.lru import ByteLru

Token: TypeAlias = Hashable

BLOCK_TOKENS = 16
"""Prompts are kept in blocks of so many tokens, as vLLM's are."""


class Encodings:
    """Pictures that were encoded, by key."""

    def __init__(self, pictures: int) -> None:
        self._lru: ByteLru[bool] = ByteLru(pictures)

    def take(self, key: str) -> bool:
        """Whether the picture was there; it is now."""
        there = self._lru.get(key) is not None
        if not there:
            self._lru.put(key, True, 1)
        return there


class Prefixes:
    """Beginnings of prompts, block by block: one counts only with all before it."""

    def __init__(self, tokens: int) -> None:
        self._lru: ByteLru[bool] = ByteLru(tokens // BLOCK_TOKENS)

    def held(self, tokens: Sequence[Token]) -> int:
        """How many tokens of the beginning are there; never all, for an answer starts from the last one."""
        held = 0
        for block in _blocks(tokens):
            if self._lru.get(block) is None:
                break
            held += BLOCK_TOKENS
        return min(held, (len(tokens) - 1) // BLOCK_TOKENS * BLOCK_TOKENS)

    def hold(self, tokens: Sequence[Token]) -> None:
        """Remembers all of a prompt; its beginning is given up last."""
        for block in reversed(list(_blocks(tokens))):
            self._lru.put(block, True, 1)


def _blocks(tokens: Sequence[Token]) -> Iterator[int]:
    """A name for each whole block that stands for it and all before it."""
    name = 0
    for start in range(0, len(tokens) - BLOCK_TOKENS + 1, BLOCK_TOKENS):
        name = hash((name, *tokens[start : start + BLOCK_TOKENS]))
        yield name
