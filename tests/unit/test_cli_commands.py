"""The commands, from outside: messages and exit statuses."""

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rap_serve.cli.ask import DEFAULT_QUESTION, split_words
from rap_serve.cli.client import CliError
from rap_serve.cli.home import Home
from rap_serve.cli.main import app
from rap_serve.cli.service import free_port, port_is_free

run = CliRunner(env={"RAP_URL": "", "RAP_API_KEY": "", "COLUMNS": "200"})


class Refusing(BaseHTTPRequestHandler):
    """A service that refuses everything the way ours does."""

    def do_GET(self) -> None:
        body = json.dumps({"error": {"message": "No such key.", "code": "invalid_api_key"}}).encode()
        self.send_response(401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def refusing() -> Iterator[str]:
    """Where a service listens that knows no key."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def home_with_service(path: Path, url: str) -> Path:
    """A home whose service said that it is at ``url``."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "service.json").write_text(json.dumps({"url": url, "api_key": "k", "pid": 1}))
    return path


def test_without_a_service_every_command_says_how_to_start_it(tmp_path: Path) -> None:
    """And fails."""
    for command in (["concepts"], ["forget", "bo"], ["ask", "Who is bo?"]):
        done = run.invoke(app, [*command, "--home", str(tmp_path)])
        assert done.exit_code == 1 and "rap up" in done.stderr and done.stdout == ""


def test_a_service_that_is_gone_is_named(tmp_path: Path) -> None:
    """With the address that nobody answers at."""
    url = f"http://127.0.0.1:{free_port()}"
    home = home_with_service(tmp_path, url)
    for command in (["concepts"], ["ask", "Who is bo?"]):
        done = run.invoke(app, [*command, "--home", str(home)])
        assert done.exit_code == 1
        assert f"not running at {url}" in done.stderr and "Traceback" not in done.stderr


def test_a_refusal_is_shown_with_its_code(tmp_path: Path, refusing: str) -> None:
    """Both by our client and by OpenAI's."""
    home = home_with_service(tmp_path, refusing)
    for command in (["concepts"], ["ask", "Who is bo?"]):
        done = run.invoke(app, [*command, "--home", str(home)])
        assert done.exit_code == 1 and "No such key. (invalid_api_key)" in done.stderr


def test_the_environment_says_where_the_service_is(tmp_path: Path, refusing: str) -> None:
    """RAP_URL wins over the home."""
    home = home_with_service(tmp_path, "http://127.0.0.1:9")
    done = run.invoke(app, ["concepts", "--home", str(home)], env={"RAP_URL": refusing, "RAP_API_KEY": "x"})
    assert "invalid_api_key" in done.stderr


def test_a_missing_picture_is_a_message(tmp_path: Path, refusing: str) -> None:
    """Nothing is sent."""
    home = home_with_service(tmp_path, refusing)
    done = run.invoke(app, ["remember", str(tmp_path / "no.jpg"), "--name", "bo", "--home", str(home)])
    assert done.exit_code == 1 and "There is no picture" in done.stderr


def test_up_refuses_a_port_that_is_taken(tmp_path: Path) -> None:
    """Before anything is started."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        done = run.invoke(app, ["up", "--home", str(tmp_path), "--port", str(port), "--json"])
        assert not port_is_free(port)
    assert done.exit_code == 1 and done.stdout == ""
    assert f"Port {port} is taken" in done.stderr
    assert not Home.at(tmp_path).log.exists()


def test_down_where_nothing_runs_is_fine_as_often_as_wanted(tmp_path: Path) -> None:
    """And forgets a service that is gone."""
    home = home_with_service(tmp_path, "http://127.0.0.1:9")
    for _ in range(2):
        done = run.invoke(app, ["down", "--home", str(home)])
        assert done.exit_code == 0 and "Not running" in done.stdout
    assert Home.at(home).service() is None


@pytest.mark.parametrize("content", ["", "[]", '{"url": "http://x"}', '{"state": '])
def test_a_half_written_file_is_no_service(tmp_path: Path, content: str) -> None:
    """Commands may look while the service writes."""
    (tmp_path / "service.json").write_text(content)
    (tmp_path / "status.json").write_text(content)
    assert Home.at(tmp_path).service() is None
    assert Home.at(tmp_path).status().state == "starting"


def test_a_question_may_come_with_a_picture_or_without(tmp_path: Path) -> None:
    """A picture alone is asked about; three words are a missing quote."""
    photo = tmp_path / "photo.jpg"
    photo.touch()
    assert split_words([str(photo), "Who is this?"]) == ("Who is this?", photo)
    assert split_words(["Who is bo?"]) == ("Who is bo?", None)
    assert split_words([str(photo)]) == (DEFAULT_QUESTION, photo)
    with pytest.raises(CliError, match="quotes"):
        split_words(["who", "is", "bo"])


def test_doctor_says_what_is_missing(tmp_path: Path) -> None:
    """As JSON: a check each, with advice for what failed."""
    done = run.invoke(app, ["doctor", "--json", "--home", str(tmp_path), "--profile", "nowhere"])
    checks = {c["name"]: c for c in json.loads(done.stdout)}
    assert done.exit_code == 1
    assert checks["python"]["state"] == "ok" and checks["service"]["found"] == "not running"
    assert checks["profile"]["state"] == "failed" and checks["profile"]["advice"]
