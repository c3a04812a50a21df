"""What one ``rap up`` starts, kept an eye on and taken down: a Milvus Lite server, a Ray, the Serve application.

``status.json`` in the home says how far the start has come; ``service.json`` (address and key) is there while it
serves.
"""

import json
import logging
import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType

import httpx
import ray
from pydantic import SecretStr
from ray import serve
from ray.serve.config import HTTPOptions

from deployments.app import BuildMllm, build
from deployments.status import Status
from rap_serve.adapters.milvus_lite_server import MilvusLiteServer
from rap_serve.cli.process import free_port
from rap_serve.domain.errors import Unavailable
from rap_serve.domain.tenancy import new_secret
from rap_serve.settings import PROJECT_ROOT, AuthSettings, Settings

APPLICATION = "rap"
TENANT = "default"
LOGICAL_CPUS = 4
OBJECT_STORE_BYTES = 512 * 1024 * 1024
WATCH_SECONDS = 1.0
WAY_IN_SECONDS = 60.0
POLL_SECONDS = 0.1
_log = logging.getLogger(__name__)


class Stopped(BaseException):
    """Told to stop before everything served."""


class LocalService:
    """Everything that one ``rap up`` starts. ``mllm``: see ``deployments.app.build``."""

    def __init__(self, home: Path, port: int, profile: str, mllm: BuildMllm) -> None:
        self._home = home
        self._port = port
        self._url = f"http://127.0.0.1:{port}"
        self._profile = profile
        self._mllm = mllm
        self._status = Status(home / "status.json", ["memory", "ray", "detector", "embedder", "mllm", "gateway"])
        self._milvus: MilvusLiteServer | None = None
        self._stopping = threading.Event()
        self._starting = True

    def run(self) -> int:
        """Serves until told to stop; the exit status."""
        self._listen()
        try:
            self._start()
            self._starting = False
            self._watch()
        except Stopped:
            pass
        except Exception as error:
            self._status.failed(f"{type(error).__name__}: {error}")
            raise
        finally:
            self._shut_down()
        self._status.stopped()
        return 0

    def _listen(self) -> None:
        """Takes the signals that end the service; Ray sets handlers of its own when it starts."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)

    def _stop(self, signum: int, frame: FrameType | None) -> None:
        """Ends the watch; a start that is still going on ends here and now."""
        self._stopping.set()
        if self._starting:
            self._starting = False
            raise Stopped

    def _start(self) -> None:
        metrics_port = free_port()
        os.environ.setdefault("RAP_BLOBS__URL", str(self._home / "blobs"))
        os.environ["RAP_INGRESS__METRICS_URL"] = f"http://127.0.0.1:{metrics_port}/metrics"
        os.environ.setdefault("RAP_CATALOGUE__URL", f"sqlite:///{self._home / 'catalogue.sqlite3'}")
        settings = with_secrets(Settings.load(self._profile), self._home)
        if settings.milvus.embedded:
            with self._status.step("memory"):
                settings = self._with_embedded_memory(settings)
        else:
            self._status.done("memory", settings.milvus.uri)
        with self._status.step("ray"):
            start_ray(metrics_port)
            self._listen()
            serve.start(http_options=HTTPOptions(host="127.0.0.1", port=self._port))
        self._deploy(settings)
        self._announce(settings.auth)

    def _with_embedded_memory(self, settings: Settings) -> Settings:
        port = free_port()
        self._milvus = MilvusLiteServer(self._home / "milvus", port)
        self._milvus.start()
        milvus = settings.milvus.model_copy(update={"uri": f"http://127.0.0.1:{port}"})
        return settings.model_copy(update={"milvus": milvus})

    def _deploy(self, settings: Settings) -> None:
        """Deploys, following each deployment until it is healthy."""
        handle = threading.Thread(target=self._follow, daemon=True)
        handle.start()
        serve.run(build(settings, self._mllm), name=APPLICATION, route_prefix="/")
        for step in ("detector", "embedder", "mllm"):
            self._status.done(step)
        with self._status.step("gateway"):
            self._await_answer()

    def _await_answer(self) -> None:
        """What stands in front of the gateways hears of them a moment later than Serve does."""
        deadline = time.monotonic() + WAY_IN_SECONDS
        with httpx.Client(base_url=self._url, trust_env=False) as http:
            while time.monotonic() < deadline:
                with suppress(httpx.TransportError):
                    if http.get("/healthz").is_success:
                        return
                time.sleep(POLL_SECONDS)
        raise Unavailable(f"No gateway answers at {self._url}, though they are healthy.")

    def _follow(self) -> None:
        while not self._stopping.wait(WATCH_SECONDS):
            application = serve.status().applications.get(APPLICATION)
            for name, deployment in (application.deployments if application else {}).items():
                self._status.deployment(name, str(deployment.status), deployment.message)
            if self._status.all_done:
                return

    def _announce(self, auth: AuthSettings) -> None:
        keys = {"api_key": auth.keys[TENANT].get_secret_value()}
        if auth.operator_key is not None:
            keys["operator_key"] = auth.operator_key.get_secret_value()
        service = {"url": self._url, **keys, "pid": os.getpid()}
        write_private(self._home / "service.json", json.dumps(service))
        self._status.ready()

    def _watch(self) -> None:
        """Sleeps until stopped; a memory server that died is started again on its port and data until it is up."""
        while not self._stopping.wait(WATCH_SECONDS):
            if self._milvus is not None and not self._milvus.alive():
                try:
                    self._milvus.start()
                except Unavailable:  # on a busy machine a start may take longer than is waited for
                    _log.exception("the memory server is not back yet; it is started once more")

    def _shut_down(self) -> None:
        (self._home / "service.json").unlink(missing_ok=True)
        if ray.is_initialized():
            serve.shutdown()
            ray.shutdown()
        if self._milvus is not None:
            self._milvus.stop()


def start_ray(metrics_port: int) -> None:
    """A Ray of our own; what it reads from the environment is set in ``deployments.local``.

    Its log monitor reads every line of every process to publish it for drivers, and this one does not listen.
    """
    ray.init(
        address="local",
        num_cpus=LOGICAL_CPUS,
        object_store_memory=OBJECT_STORE_BYTES,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": str(PROJECT_ROOT)}},
        _metrics_export_port=metrics_port,
    )
    ray._private.worker._global_node.kill_log_monitor()


def with_secrets(settings: Settings, home: Path) -> Settings:
    """``settings`` with this home's own secret, operator key and first tenant where they name none themselves."""
    auth = settings.auth
    own = AuthSettings(
        secret=auth.secret if auth.secret.get_secret_value() else SecretStr(kept_secret(home / "secret")),
        operator_key=auth.operator_key or SecretStr(kept_secret(home / "operator_key")),
        keys={TENANT: SecretStr(kept_secret(home / "api_key")), **auth.keys},
    )
    return settings.model_copy(update={"auth": own})


def kept_secret(path: Path) -> str:
    """What the file holds, a fresh API key at first."""
    if not path.exists():
        write_private(path, new_secret())
    return path.read_text().strip()


def write_private(path: Path, text: str) -> None:
    """Writes a file that only its owner can read, as a whole or not at all."""
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    fresh.write_text(text)
    fresh.replace(path)
