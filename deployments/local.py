"""The whole service on one machine: ``python -m deployments.local --home DIR --port P``."""

import argparse
import os
import secrets
from pathlib import Path

from rap_serve.cli.process import MARK

INLINE_BYTES = 5_000_000
"""Arguments up to this size are part of the call; the largest decoded picture is smaller."""


def main() -> int:
    """Parses the command line, prepares the environment, serves until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="where all state lives")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--profile", default="local", help="a name under deployments/profiles, or a file")
    options = parser.parse_args()
    home = options.home.resolve()
    home.mkdir(parents=True, exist_ok=True)
    prepare_environment(home)
    from deployments.local_service import LocalService  # imports Ray, which reads the environment then and there
    from deployments.mllm import build_mllm

    return LocalService(home, options.port, options.profile, build_mllm).run()


def prepare_environment(home: Path) -> None:
    """What every process of this service inherits.

    Ray's ports may be seen by others on the network, so they ask for a token; it lives as long as the service.
    Its workers run at low priority unless told otherwise, which on one machine starves the service first. A machine
    that is busy with other things takes longer to start it than it waits for by default. Pictures travel within calls:
    each detour through the object store costs more than it spares.
    """
    os.environ[MARK] = str(home)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "180")
    os.environ.setdefault("RAY_agent_register_timeout_ms", "180000")
    os.environ.setdefault("RAY_max_direct_call_object_size", str(INLINE_BYTES))
    os.environ.setdefault("RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH", "rap_serve.api.proxy.middlewares")
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


if __name__ == "__main__":
    raise SystemExit(main())
