"""How often an engine encodes an avatar, and what a picture costs that it has met before.

    python -m loadtest.bench.avatars --out avatars.json

The real engine with the tiny family's model. Users' avatars (a working set) stand in prompts of RAP's layout again and
again, each time behind a new picture, so that no prompt prefix repeats. Encodings are counted in the engine's own
scheduler. ``held``: pictures come decoded and under their keys, as replicas hold them; ``sent``: as JPEG in base64
under the same keys; ``nameless``: the same without keys, each picture a new one to the engine.
"""

import argparse
import base64
import io
import json
import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image
from rich.console import Console
from rich.table import Table

from loadtest import drawn
from rap_serve.cli.scoring import percentiles
from rap_serve.domain.prompt import ConceptBlock, ImagePart, TextPart, rap_parts
from rap_serve.domain.sent import picture_key
from rap_serve.settings import Settings, model_path

PER_PROMPT = 2
ENVIRONMENT = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_LOGGING_LEVEL": "ERROR"}


class Bench:
    """One engine in this process."""

    def __init__(self) -> None:
        settings = Settings.load("local").mllm
        os.environ.update({**settings.environment, **ENVIRONMENT})
        from vllm import LLM

        self._llm = LLM(model=model_path(settings.source), **settings.engine)
        core = self._llm.llm_engine.engine_core.engine_core
        self._manager = core.scheduler.encoder_cache_manager
        self.encodings: Counter[str] = Counter()
        self._count(self._manager.allocate)
        self._pictures = [drawn.jpeg(drawn.scene([drawn.thing(n)], n).image) for n in range(24)]
        self._images = [Image.open(io.BytesIO(data)).convert("RGB") for data in self._pictures]
        self._asked = 0

    @property
    def room(self) -> int:
        """Picture tokens that the engine keeps encoded."""
        return int(self._manager.cache_size)

    def _count(self, allocate: Callable[[Any, int], None]) -> None:
        """The scheduler gives room to an encoding exactly when it has it made."""

        def counted(request: Any, number: int) -> None:
            self.encodings[request.mm_features[number].identifier] += 1
            allocate(request, number)

        self._manager.allocate = counted

    def asked(self, avatars: tuple[int, ...], way: str) -> float:
        """Milliseconds to the first token of a question about a new picture with these avatars."""
        self._asked += 1
        picture = ImagePart(f"q{self._asked}".encode())
        blocks = [ConceptBlock(f"thing-{a}", "A thing.", ImagePart(f"a{a}".encode())) for a in avatars]
        parts = rap_parts(picture, blocks, "What is this?")
        content = [
            {"type": "text", "text": p.text} if isinstance(p, TextPart) else self._content(p.data.decode(), way)
            for p in parts
        ]
        from vllm import SamplingParams

        began = time.perf_counter()
        chat = [{"role": "user", "content": content}]
        self._llm.chat(chat, SamplingParams(temperature=0, max_tokens=1), use_tqdm=False)
        return 1_000 * (time.perf_counter() - began)

    def _content(self, name: str, way: str) -> dict[str, Any]:
        number = int(name[1:]) % len(self._pictures)
        key = {"uuid": picture_key("owner", name)}
        if way == "held":
            return {"type": "image_pil", "image_pil": self._images[number], **key}
        data = self._pictures[number]
        url = {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"}}
        fresh = {"uuid": picture_key("owner", f"{name} {time.perf_counter_ns()}")}
        return {**url, **(fresh if way == "nameless" else key)}

    def round_trips(self, first: int, working_set: int, rounds: int, way: str) -> dict[str, Any]:
        """Each avatar of a fresh working set in ``rounds`` prompts: encodings per avatar, milliseconds a prompt.

        Of all encodings one a prompt is that of the question's picture. The first round is not timed.
        """
        names = range(first, first + working_set)
        self.encodings.clear()
        milliseconds = []
        for _ in range(rounds):
            for start in range(0, working_set, PER_PROMPT):
                milliseconds.append(self.asked(tuple(names[start : start + PER_PROMPT]), way))
        later = milliseconds[len(milliseconds) // rounds :]
        per_avatar = (self.encodings.total() - len(milliseconds)) / working_set
        return {
            "way": way,
            "working_set": working_set,
            "prompts_an_avatar": rounds,
            "encodings_an_avatar": round(per_avatar, 2),
            "ttft_ms": percentiles(later),
        }


def main() -> None:
    """Parses the command line; prints a table and writes JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--working-sets", type=int, nargs="+", default=[8, 16, 32, 64])
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    bench, rows, first = Bench(), [], 0
    bench.round_trips(first, PER_PROMPT, 4, "sent")
    cells = [(size, "held") for size in options.working_sets]
    for size, way in [*cells, (options.working_sets[0], "sent"), (options.working_sets[0], "nameless")]:
        first += 1_000
        rows.append(bench.round_trips(first, size, options.rounds, way))
    table = Table("way", "avatars", "prompts each", "encodings an avatar", "TTFT p50", "p99")
    for row in rows:
        ttft = row["ttft_ms"]
        counted = (row["way"], row["working_set"], row["prompts_an_avatar"], row["encodings_an_avatar"])
        table.add_row(*map(str, (*counted, ttft["p50"], ttft["p99"])))
    figures = {"encoder_cache_tokens": bench.room, "rows": rows}
    if options.out:
        options.out.write_text(json.dumps(figures, indent=1))
    Console(width=120).print(table)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
