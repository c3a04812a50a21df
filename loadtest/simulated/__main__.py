"""The whole service on one machine, its MLLM simulated: ``python -m loadtest.simulated --home DIR --port P``.

    python -m loadtest.simulated --home /tmp/simulated --port 8000 --replicas 4 --router consistent-hash

Gateways, detector, embedder, memory and cache are those of ``rap up``, and so are ``service.json`` and ``rap down``;
only the MLLM sleeps instead of computing. Several gateways share a Redis that is started for them.
"""

import argparse
import os
from dataclasses import fields
from pathlib import Path

from deployments.local import prepare_environment
from loadtest.outages import LocalRedis
from loadtest.simulated.engine import Costs
from loadtest.simulated.routers import ROUTERS
from rap_serve.cli.process import free_port


def main() -> int:
    """Parses the command line, prepares the environment, serves until told to stop."""
    options = _parser().parse_args()
    home = options.home.resolve()
    home.mkdir(parents=True, exist_ok=True)
    prepare_environment(home)
    for deployment, replicas in (("MLLM", options.replicas), ("INGRESS", options.gateways)):
        os.environ[f"RAP_{deployment}__SERVE__MIN_REPLICAS"] = str(replicas)
        os.environ[f"RAP_{deployment}__SERVE__MAX_REPLICAS"] = str(replicas)
    redis = _shared_redis() if options.gateways > 1 else None
    try:
        return _serve(home, options)
    finally:
        if redis is not None:
            redis.stop()


def _serve(home: Path, options: argparse.Namespace) -> int:
    from deployments.local_service import LocalService  # imports Ray, which reads the environment then and there
    from loadtest.simulated.mllm import simulated

    costs = Costs(**{f.name: getattr(options, f.name) for f in fields(Costs)})
    return LocalService(home, options.port, options.profile, simulated(costs, options.router)).run()


def _shared_redis() -> LocalRedis | None:
    """A Redis for the gateways, where the environment names none."""
    if "RAP_REDIS__URL" in os.environ:
        return None
    port = free_port()
    os.environ["RAP_REDIS__URL"] = f"redis://127.0.0.1:{port}/0"
    redis = LocalRedis(port)
    redis.start()
    return redis


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True, help="where all state lives")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--profile", default="local", help="a name under deployments/profiles, or a file")
    parser.add_argument("--replicas", type=int, default=1, help="of the MLLM")
    parser.add_argument("--gateways", type=int, default=1)
    parser.add_argument("--router", default="owner", choices=ROUTERS, help="how a replica is chosen")
    for field in fields(Costs):
        kind = type(field.default)
        parser.add_argument(
            "--" + field.name.replace("_", "-"), type=kind, default=field.default, help=f"{field.default}"
        )
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
