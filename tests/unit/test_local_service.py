"""What keeps an eye on the parts of a local service."""

from pathlib import Path
from typing import cast

import pytest
from ray.serve import Application

import deployments.local_service
from deployments.local_service import LocalService
from rap_serve.adapters.milvus_lite_server import MilvusLiteServer
from rap_serve.domain.errors import Unavailable
from rap_serve.settings import MllmSettings


def no_model(settings: MllmSettings) -> Application:
    """Nothing is deployed here."""
    raise AssertionError


class SlowServer:
    """A memory server that died, and that comes up at the third attempt."""

    def __init__(self, service: LocalService) -> None:
        self._service = service
        self.attempts = 0

    def alive(self) -> bool:
        """Only then."""
        return self.attempts == 3

    def start(self) -> None:
        """Ends the watch once it is up."""
        self.attempts += 1
        if self.attempts < 3:
            raise Unavailable("It did not start in time.")
        self._service._stopping.set()


def test_a_memory_server_that_is_slow_to_come_back_does_not_end_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine one attempt may not be enough."""
    monkeypatch.setattr(deployments.local_service, "WATCH_SECONDS", 0.01)
    service = LocalService(tmp_path, port=0, profile="local", mllm=no_model)
    server = SlowServer(service)
    service._milvus = cast(MilvusLiteServer, server)
    service._watch()
    assert server.attempts == 3
