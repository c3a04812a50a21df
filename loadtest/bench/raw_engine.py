"""vLLM by itself, given requests that are ready: a process of its own, on the settings that the service serves with.

    python -m loadtest.bench.raw_engine --work FOLDER

``FOLDER`` holds what ``loadtest.bench.engine`` has put there, and gets ``raw.json``. Everything is handed to the engine
at once, so that it is never short of work. Detector and embedder are run beside it on the pictures of the prompts, in
processes of their own as in the service: all three start together, and none waits for what another one finds.
"""

import argparse
import json
import multiprocessing
import os
import pickle
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from loadtest.bench.raw_models import detect_all, embed_all, load_detector, load_embedder, regions_of
from loadtest.yardstick import Yardstick
from rap_serve.adapters import time_slices
from rap_serve.adapters.vllm_executor import IN_ONE_PROCESS
from rap_serve.settings import Settings, model_path

if TYPE_CHECKING:
    from vllm import SamplingParams

SERVED_BATCHED_TOKENS = 2048
"""What vLLM's server takes on a CPU where nothing is said; ``LLM`` would take twice that."""

WARM_UP = 8
GUIDED = "structured_outputs"


class RawEngine:
    """An engine, and how fast it is."""

    def __init__(self, settings: Settings) -> None:
        from vllm import LLM
        from vllm.platforms import current_platform
        from vllm.v1.executor.uniproc_executor import UniProcExecutor

        engine = {"max_num_batched_tokens": SERVED_BATCHED_TOKENS, **settings.mllm.engine}
        if engine.get("distributed_executor_backend") == IN_ONE_PROCESS:
            engine["distributed_executor_backend"] = UniProcExecutor  # by its name vLLM does not take it on a CPU
        with time_slices.of_what_starts(time_slices.for_computing_on(current_platform.device_type)):  # as served
            self._llm = LLM(model=model_path(settings.mllm.source), **engine)

    def run(self, requests: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """All of them at once."""
        params = [_sampling(r) for r in requests]
        before, began = _cpu_seconds(), time.perf_counter()
        with Yardstick() as machine:
            outputs = self._llm.chat([r["messages"] for r in requests], params, use_tqdm=False)
        seconds = time.perf_counter() - began
        spent = {who: after - before[who] for who, after in _cpu_seconds().items()}
        return {
            "requests": len(requests),
            "seconds": seconds,
            "cpu_seconds": spent,
            "yardstick_ms": machine.ms,
            "texts": [o.outputs[0].text.strip() for o in outputs],
            "prompt_tokens": [len(o.prompt_token_ids) for o in outputs],
            "completion_tokens": sum(len(o.outputs[0].token_ids) for o in outputs),
        }


def _cpu_seconds() -> dict[str, float]:
    """Of the process that prepares prompts, and of the engine's core, its child."""
    own = psutil.Process()
    return {
        "preparing": time.process_time(),
        "engine": sum(sum(p.cpu_times()[:2]) for p in own.children() if p.name().startswith("VLLM")),
    }


def _sampling(request: dict[str, Any]) -> "SamplingParams":
    """As vLLM's server reads the request."""
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest

    return ChatCompletionRequest(**request).to_sampling_params(request["max_completion_tokens"], {})


def beside_models(
    engine: RawEngine, requests: Sequence[dict[str, Any]], settings: Settings, asked: dict[str, Any]
) -> dict[str, Any]:
    """The engine's run while detector and embedder go through the same pictures; the floor ends with the last."""
    pictures, vocabulary = asked["pictures"], asked["vocabulary"]
    detector = load_detector(settings, load_embedder(settings))
    boxes = [[r.box_xyxy for r in regions_of(detector, p, vocabulary)] for p in pictures]
    spawn = multiprocessing.get_context("spawn")
    with spawn.Manager() as manager, ProcessPoolExecutor(2, mp_context=spawn) as pool:
        start: Barrier = manager.Barrier(3)  # type: ignore[assignment]
        detecting = pool.submit(detect_all, settings, pictures, vocabulary, start)
        embedding = pool.submit(embed_all, settings, pictures, boxes, start)
        start.wait()
        ran = engine.run(requests)
        models = {"detector": detecting.result(), "embedder": embedding.result()}
    return {
        **ran,
        **{f"{name}_seconds": spent.seconds for name, spent in models.items()},
        "cpu_seconds": {**ran["cpu_seconds"], **{name: spent.cpu_seconds for name, spent in models.items()}},
        "crops": sum(len(b) for b in boxes),
        "all_seconds": max(ran["seconds"], *(spent.seconds for spent in models.values())),
    }


def main() -> None:
    """Parses the command line; the environment is what the profile gives the engine."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--profile", default="local")
    options = parser.parse_args()
    settings = Settings.load(options.profile)
    os.environ.update(settings.mllm.environment)
    given = json.loads((options.work / "requests.json").read_text())
    asked = pickle.loads((options.work / "pictures.pickle").read_bytes())  # noqa: S301 -- our parent's own
    engine = RawEngine(settings)
    engine.run(given["warm_up"])
    report = {
        "new": beside_models(engine, given["new"], settings, asked),
        "again": engine.run(given["again"]),
        "again, not guided": engine.run([{k: v for k, v in r.items() if k != GUIDED} for r in given["again"]]),
    }
    (options.work / "raw.json").write_text(json.dumps(report))


if __name__ == "__main__":
    main()
