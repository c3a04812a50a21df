"""Structured logs: one JSON object a line, without pictures, prompts, concept texts or vectors.

What is bound where a request begins (``request_id``, ``tenant``) is on every line about it, also on those of modules
that know nothing of structlog; so is the span that it was written in, where one is recorded.
"""

import logging
import sys
from collections.abc import Sequence

import structlog
import structlog.tracebacks
from opentelemetry import trace
from structlog.typing import EventDict, Processor, WrappedLogger

OURS = ("rap_serve", "deployments")
"""Loggers of the standard library that are written the same way."""

TRACEBACKS = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))
"""Where an error came from, without the values that were at hand there, which are people's texts and pictures."""


def configure_logging(level: int = logging.INFO) -> None:
    """Makes structlog, and our loggers of the standard library, write JSON with a UTC time to standard error."""
    shared: Sequence[Processor] = [
        structlog.contextvars.merge_contextvars,
        add_span,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    rendered: Sequence[Processor] = [TRACEBACKS, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=[*shared, *rendered],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendered],
        )
    )
    for name in OURS:
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)


def add_span(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Adds ``trace_id`` and ``span_id``, in hexadecimal, as the collector knows them."""
    context = trace.get_current_span().get_span_context()
    if context.is_valid and context.trace_flags.sampled:
        event["trace_id"] = trace.format_trace_id(context.trace_id)
        event["span_id"] = trace.format_span_id(context.span_id)
    return event
