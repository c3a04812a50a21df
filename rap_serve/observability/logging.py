"""Structured logs: one JSON object a line, without pictures, prompts, concept texts or vectors."""

import logging

import structlog


def configure_logging(level: int = logging.INFO) -> None:
    """Makes structlog write JSON with a UTC time to standard error."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.dict_tracebacks,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
    )
