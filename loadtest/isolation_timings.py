"""Can the time of a refusal tell what another tenant has?"""

import math
import random
import time
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import numpy as np
from tqdm import tqdm

from loadtest import drawn


async def of_refusals(
    http: httpx.AsyncClient, paths: Mapping[str, tuple[Sequence[str], Sequence[str]]], count: int, status: int
) -> dict[str, Any]:
    """Per kind of path: of those that exist at another tenant and those that exist nowhere, asked for in turn."""
    found = {}
    for kind, (elsewhere, nowhere) in paths.items():
        seconds: tuple[list[float], list[float]] = ([], [])
        for number in tqdm(range(count), desc=f"timings of a {kind}", mininterval=20):
            for which in random.sample((0, 1), 2):
                path = (elsewhere, nowhere)[which][number % len((elsewhere, nowhere)[which])]
                began = time.perf_counter()
                answer = await http.get(path)
                seconds[which].append(time.perf_counter() - began)
                if answer.status_code != status:
                    raise AssertionError(f"{path} is answered with {answer.status_code}, not {status}.")
        found[kind] = compared(*seconds)
    return found


async def of_pictures(one: httpx.AsyncClient, other: httpx.AsyncClient, count: int, model: str) -> dict[str, Any]:
    """Asking about a picture that the other has just asked about, or one that nobody has, or a second time."""
    seconds: dict[str, list[float]] = {"other's": [], "nobody's": [], "own": []}
    for number in tqdm(range(count), desc="timings of pictures", mininterval=20):
        theirs, fresh = (_noise(2 * number + i) for i in range(2))
        await _asked(other, theirs, model)
        for kind, picture in random.sample([("other's", theirs), ("nobody's", fresh)], 2):
            seconds[kind].append(await _asked(one, picture, model))
        seconds["own"].append(await _asked(one, fresh, model))
    own = {"own_again_ms": round(1_000 * float(np.median(seconds["own"])), 2)}
    return {**compared(seconds["other's"], seconds["nobody's"]), **own}


def compared(elsewhere: Sequence[float], nowhere: Sequence[float]) -> dict[str, Any]:
    """Medians in milliseconds, and how likely so different a sample of equal ones is (Mann-Whitney U, two-sided)."""
    n, m = len(elsewhere), len(nowhere)
    ranks = np.concatenate([elsewhere, nowhere]).argsort().argsort() + 1
    u = ranks[:n].sum() - n * (n + 1) / 2
    z = (u - n * m / 2) / math.sqrt(n * m * (n + m + 1) / 12)
    return {
        "n": [n, m],
        "median_ms": [round(1_000 * float(np.median(s)), 3) for s in (elsewhere, nowhere)],
        "p": round(math.erfc(abs(z) / math.sqrt(2)), 4),
        "probability_that_elsewhere_is_slower": round(float(u / (n * m)), 4),
    }


async def _asked(http: httpx.AsyncClient, picture: str, model: str) -> float:
    content = [{"type": "image_url", "image_url": {"url": picture}}, {"type": "text", "text": "What is this?"}]
    messages = [{"role": "user", "content": content}]
    body = {"model": model, "user": "ann", "max_tokens": 1, "messages": messages, "rap": {"retrieval": False}}
    began = time.perf_counter()
    (await http.post("/v1/chat/completions", json=body)).raise_for_status()
    return time.perf_counter() - began


def _noise(number: int) -> str:
    """A picture that was never before."""
    rng = np.random.default_rng([number, time.time_ns()])
    return drawn.data_url(drawn.jpeg(rng.integers(0, 255, (drawn.SIDE, drawn.SIDE, 3), np.uint8)))
