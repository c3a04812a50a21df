"""How much of their prompts engines hold already, by the prompt's layout: the question's picture first, or last.

    python -m loadtest.bench.layouts --out layouts.json

No engine runs and nothing is timed: prompts are built by the service's own layouts and counted against the simulated
engine's memory of beginnings, block by block, in which vLLM's rule holds that a block counts only with all before it.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from loadtest.bench.simulated_mllm import Asker, Traffic
from loadtest.simulated.engine import Costs
from loadtest.simulated.memory import Encodings, Prefixes, Token
from rap_serve.domain.prompt import ConceptBlock, ImageRef, Layout, Part, ShownImage, TextPart, chat_parts, rap_parts

CHARACTERS_PER_TOKEN = 4


def picture_first(picture: ShownImage | None, blocks: Sequence[ConceptBlock], question: str) -> tuple[Part, ...]:
    """The chat layout with its picture moved to the front."""
    rest = chat_parts(None, blocks, question)
    return (picture, TextPart("\n"), *rest) if picture else rest


LAYOUTS: dict[str, Layout] = {"chat": chat_parts, "chat, picture first": picture_first, "rap": rap_parts}


def measured(layout: str, traffic: Traffic, *, requests: int, costs: Costs) -> dict[str, object]:
    """Shares of tokens held and of pictures that need no encoding, on one replica; the first half is warm-up."""
    asker = Asker(traffic, LAYOUTS[layout], seed=0)
    prefixes, encodings = Prefixes(costs.tokens_held), Encodings(costs.pictures_held)
    tokens_seen = tokens_held = pictures_seen = encoded = 0
    for number in range(requests):
        owner, turn = asker.next()
        tokens, ends = tokens_of(turn.parts, owner.scope, costs.picture_tokens)
        held = prefixes.held(tokens)
        made = sum(not encodings.take(name) for name, end in ends if end > held)
        prefixes.hold(tokens)
        if number >= requests // 2:
            tokens_seen, tokens_held = tokens_seen + len(tokens), tokens_held + held
            pictures_seen, encoded = pictures_seen + len(ends), encoded + made
    return {
        "reuse": traffic.reuse,
        "layout": layout,
        "tokens_held": round(tokens_held / tokens_seen, 3),
        "pictures_not_encoded": round(1 - encoded / pictures_seen, 3),
        "tokens_a_prompt_computed": round((tokens_seen - tokens_held) / (requests - requests // 2)),
    }


def tokens_of(parts: Sequence[Part], scope: str, picture_tokens: int) -> tuple[list[Token], list[tuple[str, int]]]:
    """A prompt as the engine remembers it: its tokens, and each picture's name with where its tokens end."""
    tokens: list[Token] = [scope]
    ends: list[tuple[str, int]] = []
    for part in parts:
        if isinstance(part, ImageRef):
            tokens += [(part.name, i) for i in range(picture_tokens)]
            ends.append((part.name, len(tokens)))
        elif isinstance(part, TextPart):
            starts = range(0, len(part.text), CHARACTERS_PER_TOKEN)
            tokens += [part.text[i : i + CHARACTERS_PER_TOKEN] for i in starts]
    return tokens, ends


def main() -> None:
    """Parses the command line; prints a table and writes JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=4_000)
    parser.add_argument("--owners", type=int, default=25, help="of one replica")
    parser.add_argument("--reuse", type=float, nargs="+", default=[0.0, 0.5, 0.8])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows = [
        measured(
            layout,
            Traffic(reuse=reuse, rate=0, seconds=0, owners=options.owners),
            requests=options.requests,
            costs=Costs(),
        )
        for reuse in options.reuse
        for layout in LAYOUTS
    ]
    table = Table(*rows[0])
    for row in rows:
        table.add_row(*map(str, row.values()))
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1))
    Console(width=120).print(table)
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
