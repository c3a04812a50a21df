"""The service as a Ray Serve application: resources, batching, health. The logic lives in ``rap_serve``."""
