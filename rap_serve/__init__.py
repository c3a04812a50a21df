"""Retrieval-augmented personalization of multimodal LLMs, as a multi-tenant service."""

__version__ = "0.1.0"
