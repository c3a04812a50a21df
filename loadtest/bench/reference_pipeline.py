"""Retrieval-augmented personalization as it was published: one request at a time, each step after the other.

Written after the released code of "RAP: Retrieval-Augmented Personalization for Multimodal LLMs" (CVPR 2025), on the
weights of a profile of ours.
"""

import argparse
import io
import json
import pickle
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import torch
from PIL import Image
from transformers import AutoProcessor, LlavaForConditionalGeneration

from loadtest.bench.asked import MAX_TOKENS, Asked, Shown
from loadtest.bench.raw_models import embedded, load_detector, load_embedder
from rap_serve.domain.prompt import ConceptBlock, ImagePart, as_text, rap_parts
from rap_serve.settings import Settings, model_path

CROPS_AT_ONCE = 6
NEIGHBOURS = 2
CONCEPTS_SHOWN = 2


class ReferencePipeline:
    """All of it in one process. ``spent``: seconds by step."""

    def __init__(self, settings: Settings, shown: Sequence[Shown]) -> None:
        self._embedder = load_embedder(settings)
        self._detector = load_detector(settings, self._embedder)
        folder = model_path(settings.mllm.source)
        self._processor: Any = AutoProcessor.from_pretrained(folder)
        self._model = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
        self._shown = shown
        self._categories = tuple(sorted({s.category for s in shown}))
        self._avatars = [_pixels(s.jpeg).crop(tuple(s.box_xyxy)) for s in shown]
        rows = [embedded(self._embedder, np.array(a), [(0.0, 0.0, *map(float, a.size))]) for a in self._avatars]
        self._index = faiss.IndexFlatL2(self._embedder.dim)
        self._index.add(np.concatenate(rows))
        self.spent: dict[str, float] = {}

    def answer(self, asked: Asked) -> tuple[str, int]:
        """The answer, and how many tokens it has."""
        picture = _pixels(asked.jpeg)
        boxes = self._timed("detect", self._detect, np.array(picture))
        found = self._timed("embed and search", self._search, np.array(picture), boxes)
        return self._timed("generate", self._generate, picture, asked.question, found)

    def _timed(self, step: str, call: Any, *given: Any) -> Any:
        began = time.perf_counter()
        done = call(*given)
        self.spent[step] = self.spent.get(step, 0.0) + time.perf_counter() - began
        return done

    def _detect(self, picture: np.ndarray) -> list[tuple[float, float, float, float]]:
        (regions,) = self._detector.forward([self._detector.preprocess(picture, self._categories)])
        return [r.box_xyxy for r in regions]

    def _search(self, picture: np.ndarray, boxes: Sequence[tuple[float, float, float, float]]) -> list[int]:
        """The concepts nearest to any region, each once."""
        near: list[tuple[float, int]] = []
        for start in range(0, len(boxes), CROPS_AT_ONCE):
            rows = embedded(self._embedder, picture, boxes[start : start + CROPS_AT_ONCE])
            distances, places = self._index.search(rows, NEIGHBOURS)
            near += zip(distances.ravel().tolist(), places.ravel().tolist(), strict=True)
        return list(dict.fromkeys(place for _, place in sorted(near)))[:CONCEPTS_SHOWN]

    @torch.inference_mode()
    def _generate(self, picture: Image.Image, question: str, found: Sequence[int]) -> tuple[str, int]:
        blocks = [ConceptBlock(self._shown[i].name, self._shown[i].info, ImagePart(b"")) for i in found]
        parts = rap_parts(ImagePart(b""), blocks, question)
        text = self._processor.apply_chat_template(
            [{"role": "user", "content": as_text(parts)}], add_generation_prompt=True
        )
        pictures = [picture, *(self._avatars[i] for i in found)]
        inputs = self._processor(text=text, images=pictures, return_tensors="pt", add_special_tokens=False)
        made = self._model.generate(**inputs, max_new_tokens=MAX_TOKENS, do_sample=False)
        tokens = made[0, inputs["input_ids"].shape[1] :]
        return self._processor.tokenizer.decode(tokens, skip_special_tokens=True), len(tokens)


def _pixels(jpeg: bytes) -> Image.Image:
    return Image.open(io.BytesIO(jpeg)).convert("RGB")


def _seconds(pipeline: ReferencePipeline, asked: Sequence[Asked], threads: int) -> float:
    """For these on so many threads, after one that is not counted."""
    torch.set_num_threads(threads)
    pipeline.answer(asked[0])
    began = time.perf_counter()
    for one in asked:
        pipeline.answer(one)
    return time.perf_counter() - began


def main() -> None:
    """Parses the command line; ``loadtest.bench.reference`` calls it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--profile", default="local")
    options = parser.parse_args()
    threads = torch.get_num_threads()  # before the models are loaded: they set it to what they are served with
    given = pickle.loads((options.work / "given.pickle").read_bytes())  # noqa: S301 -- our parent's own
    pipeline = ReferencePipeline(Settings.load(options.profile), given["shown"])
    threads = min((1, threads), key=lambda count: _seconds(pipeline, given["warm_up"], count))
    torch.set_num_threads(threads)
    pipeline.spent.clear()
    began = time.perf_counter()
    answers = [pipeline.answer(asked) for asked in given["asked"]]
    seconds = time.perf_counter() - began
    tokens = sum(count for _, count in answers)
    report = {
        "requests": len(answers),
        "requests_per_s": round(len(answers) / seconds, 3),
        "tokens_per_s": round(tokens / seconds, 2),
        "tokens_per_request": round(tokens / len(answers), 1),
        "threads": threads,
        "ms_by_step": {step: round(1_000 * s / len(answers), 1) for step, s in pipeline.spent.items()},
        "first_answers": [text for text, _ in answers[:5]],
    }
    (options.work / "reference.json").write_text(json.dumps(report))


if __name__ == "__main__":
    main()
