"""The use cases, one per file: plain classes over the ports of ``rap_serve.domain``."""
