"""What the service's processes listen on, for whoever can reach the machine."""

import pickle
from collections.abc import Iterator
from pathlib import Path

import grpc
import psutil
import pytest
from ray.serve.generated.serve_pb2 import ASGIRequest
from ray.serve.generated.serve_pb2_grpc import ASGIServiceStub

from loadtest.processes import role, service_processes
from tests.running_service import RunningService

NOT_FOR_STRANGERS = {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNAVAILABLE}
"""Refused, of another kind, or nothing that speaks gRPC."""


class Opened:
    """Leaves a file where it is unpacked."""

    def __init__(self, trace: Path) -> None:
        self._trace = trace

    def __reduce__(self) -> object:
        return open, (str(self._trace), "w")


def listening(service: RunningService) -> Iterator[tuple[str, int]]:
    """The role of each process, and each port of its that is not for this machine alone."""
    for process in service_processes(service.home):
        try:
            for connection in process.net_connections("tcp"):
                if connection.status == psutil.CONN_LISTEN and connection.laddr.ip != "127.0.0.1":
                    yield role(process), connection.laddr.port
        except psutil.Error:
            continue


def test_nobody_calls_a_replica_without_the_services_token(service: RunningService, tmp_path: Path) -> None:
    """Not even to the point where what came is unpacked."""
    trace = tmp_path / "trace"
    request = ASGIRequest(pickled_request_metadata=pickle.dumps(Opened(trace)))
    refused = set()
    for who, port in listening(service):
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel, pytest.raises(grpc.RpcError) as error:
            ASGIServiceStub(channel).HandleRequest(request, timeout=10)
        assert error.value.code() in NOT_FOR_STRANGERS, (who, port, error.value)
        if error.value.code() is grpc.StatusCode.UNAUTHENTICATED:
            refused.add(who)
    assert not trace.exists()
    assert {"DetectorDeployment", "EmbedderDeployment", "IngressDeployment", "Mllm:rap-tiny"} <= refused


def test_the_way_in_and_what_counts_there_are_for_this_machine_alone(service: RunningService) -> None:
    """Ray would show HAProxy's statistics to everybody, and gateways past it."""
    assert "haproxy" not in {who for who, _ in listening(service)}
