"""The engine that sleeps: what it takes, and what it is spared."""

import asyncio
import time

from loadtest.simulated.engine import Costs, Prompt, SleepingEngine
from loadtest.simulated.memory import BLOCK_TOKENS, Encodings, Prefixes, Token

COSTS = Costs(
    slots=2,
    pass_seconds=0.01,
    picture_seconds=0.05,
    prompt_token_seconds=0.0005,
    pass_tokens=200,
    picture_tokens=100,
    pictures_held=2,
    tokens_held=1_000,
)


def prompt(*pictures: str, text: int = 10) -> Prompt:
    """Pictures of a hundred tokens each, then a text."""
    tokens: list[Token] = [(key, i) for key in pictures for i in range(100)]
    ends = [(key, 100 * (n + 1)) for n, key in enumerate(pictures)]
    return Prompt([*tokens, *(("text", i) for i in range(text))], ends)


async def first_token(engine: SleepingEngine, asked: Prompt, tokens: int = 1) -> float:
    """Seconds until the first token; all are taken."""
    began, first = time.monotonic(), 0.0
    async for _ in engine.generate(asked, tokens):
        first = first or time.monotonic() - began
    return first


async def test_what_was_asked_before_is_not_computed_again() -> None:
    """The second time the same prompt costs a pass and its last tokens."""
    engine = SleepingEngine(COSTS)
    seconds = [await first_token(engine, prompt("a")) for _ in range(2)]
    assert seconds[0] >= 0.01 + 0.05 + 0.055
    assert seconds[1] < seconds[0] / 2
    assert (engine.work.pictures, engine.work.encodings) == (2, 1)


async def test_a_picture_in_another_place_is_not_encoded_again() -> None:
    """Its tokens are computed anew, for what stands before them is another."""
    engine = SleepingEngine(COSTS)
    await first_token(engine, prompt("a", "b"))
    await first_token(engine, prompt("b", "a"))
    assert (engine.work.encodings, engine.work.held_tokens) == (2, 0)


async def test_more_answers_than_slots_wait_for_one() -> None:
    """And each pass serves all that have one."""
    engine = SleepingEngine(COSTS)
    began = time.monotonic()
    await asyncio.gather(*(first_token(engine, prompt(text=1), tokens=20) for _ in range(4)))
    assert 0.4 <= time.monotonic() - began < 0.8


async def test_who_leaves_frees_the_slot() -> None:
    """Within a pass."""
    engine = SleepingEngine(Costs(slots=1, pass_seconds=0.01))
    left = engine.generate(prompt(text=1), 1_000)
    await anext(left)
    await left.aclose()
    assert await first_token(engine, prompt(text=1)) < 1


def test_a_beginning_counts_only_with_all_before_it() -> None:
    """Block by block, and never to the last token."""
    prefixes, tokens = Prefixes(1_000), list(range(4 * BLOCK_TOKENS))
    prefixes.hold(tokens)
    assert prefixes.held(tokens) == 3 * BLOCK_TOKENS
    assert prefixes.held([*tokens[:BLOCK_TOKENS], -1, *tokens[BLOCK_TOKENS + 1 :]]) == BLOCK_TOKENS
    assert prefixes.held([-1, *tokens[1:]]) == 0


def test_what_was_used_longest_ago_is_given_up() -> None:
    """Pictures one by one, prompts from their end."""
    encodings = Encodings(2)
    assert [encodings.take(key) for key in "abacab"] == [False, False, True, False, True, False]
    prefixes, tokens = Prefixes(2 * BLOCK_TOKENS), list(range(4 * BLOCK_TOKENS))
    prefixes.hold(tokens)
    assert prefixes.held(tokens) == 2 * BLOCK_TOKENS
