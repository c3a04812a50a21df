"""What a line of the log says of the request that it belongs to."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from rap_serve.observability.logging import OURS, configure_logging
from rap_serve.observability.origin import Origin
from rap_serve.observability.tracing import Tracing
from rap_serve.settings import NO_TRACING, TracingSettings
from tests.otlp_receiver import collector


@pytest.fixture(autouse=True)
def unconfigured() -> Iterator[None]:
    """Leaves logs as they were. Tests configure them, since what pytest captures is another stream in fixtures."""
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    for name in OURS:
        logging.getLogger(name).handlers, logging.getLogger(name).propagate = [], True


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    """What was written to standard error, a JSON object a line."""
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_every_line_names_the_request(capsys: pytest.CaptureFixture[str]) -> None:
    """Those of structlog and those of modules that log as the standard library does."""
    configure_logging()
    structlog.contextvars.bind_contextvars(request_id="req_1", tenant="acme")
    structlog.get_logger().info("request", status=200)
    logging.getLogger("rap_serve.services.commit").warning("%s was late", "it")
    ours, theirs = lines(capsys)
    assert ours["event"] == "request" and ours["status"] == 200
    assert theirs["event"] == "it was late" and theirs["logger"] == "rap_serve.services.commit"
    for line in (ours, theirs):
        assert line["request_id"] == "req_1" and line["tenant"] == "acme"
        assert line["level"] and str(line["timestamp"]).endswith("Z") and "trace_id" not in line


def test_errors_are_logged_without_what_they_were_about(capsys: pytest.CaptureFixture[str]) -> None:
    """A traceback says where, not with which texts."""

    def failing(info: str) -> None:
        raise ValueError(len(info))

    configure_logging()
    for log in (structlog.get_logger(), logging.getLogger("rap_serve.services.run_jobs")):
        try:
            failing("Bo sleeps under the piano.")
        except ValueError:
            log.exception("a job failed")
    for line in capsys.readouterr().err.splitlines():
        assert "failing" in line and "piano" not in line


def test_work_for_another_process_is_logged_under_its_request(capsys: pytest.CaptureFixture[str]) -> None:
    """With tracing or without; and only while it lasts."""
    configure_logging()
    with Tracing.of(NO_TRACING, "rap-detector").continued(Origin("req_1"), "detect"):
        structlog.get_logger().warning("odd")
    structlog.get_logger().warning("later")
    inside, after = lines(capsys)
    assert inside["request_id"] == "req_1" and "request_id" not in after


def test_lines_name_the_span_they_were_written_in(capsys: pytest.CaptureFixture[str]) -> None:
    """As the collector knows it."""
    configure_logging()
    with collector() as collecting:
        tracing = Tracing.of(TracingSettings(endpoint=collecting.endpoint, sample_ratio=1), "rap-gateway")
        with tracing.root("POST"):
            structlog.get_logger().info("request")
        tracing.close()
    (line,) = lines(capsys)
    assert (line["trace_id"], line["span_id"]) == (collecting.spans[0].trace, collecting.spans[0].id)


def test_an_error_is_written_with_its_traceback_as_data(capsys: pytest.CaptureFixture[str]) -> None:
    """One line of JSON, whatever happened."""
    configure_logging()
    try:
        raise ValueError("odd")
    except ValueError:
        logging.getLogger("deployments").exception("a job failed")
    (line,) = lines(capsys)
    assert line["event"] == "a job failed" and "ValueError" in json.dumps(line["exception"])
