"""Ways to choose a replica, by the names that commands take."""

ROUTERS = {
    "owner": "deployments.routing:OwnerRouter",
    "power-of-two": "ray.serve._private.request_router:PowerOfTwoChoicesRequestRouter",
    "consistent-hash": "ray.serve.experimental.consistent_hash_router:ConsistentHashRouter",
}
