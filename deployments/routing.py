"""Requests of one owner go to the replica that knows them."""

from typing import Any

from ray.serve.request_router import PendingRequest, ReplicaID, ReplicaResult, RequestRouter, RunningReplica

from rap_serve.domain.routing import LoadBound, preferences, ranked
from rap_serve.observability.metrics import RoutingMetrics


class OwnerRouter(RequestRouter):  # type: ignore[misc]
    """The rule is ``rap_serve.domain.routing``'s; the key is the session of the call, a fresh one where it has none."""

    def initialize_state(self, **bound: Any) -> None:
        """Takes ``request_router_kwargs``: the fields of LoadBound."""
        self._bound = LoadBound(**bound)
        self._metrics = RoutingMetrics()

    async def choose_replicas(
        self, candidate_replicas: list[RunningReplica], pending_request: PendingRequest | None = None
    ) -> list[list[RunningReplica]]:
        """One replica a rank, in the order to try."""
        if pending_request is None:
            return [candidate_replicas]
        replicas = {r.replica_id.unique_id: r for r in candidate_replicas}
        loads = {name: self.replica_queue_len_cache.get(r.replica_id) or 0 for name, r in replicas.items()}
        return [[replicas[name]] for name in ranked(_key(pending_request), loads, self._bound)]

    def on_request_routed(self, pending_request: PendingRequest, replica_id: ReplicaID, result: ReplicaResult) -> None:
        """Counts how often a request went where it wanted to go."""
        wanted = preferences(_key(pending_request), (r.unique_id for r in self.curr_replicas))
        self._metrics.routed(spilled=bool(wanted) and wanted[0] != replica_id.unique_id)


def _key(request: PendingRequest) -> str:
    return str(request.metadata.session_id or request.metadata.internal_request_id)
