"""The service as commands see it: typed answers, and errors that a person can act on."""

import base64
import json
import mimetypes
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, cast
from urllib.parse import quote, urlsplit

import httpx

from rap_serve.cli.home import Home, Service
from rap_serve.cli.wire import ConceptJson, RetrievalJson

ANSWER_SECONDS = 180.0
TIMEOUT = httpx.Timeout(ANSWER_SECONDS, connect=5.0)
PAGE = 100
MAX_TRIES = 6
MAX_PAUSE_SECONDS = 10.0
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}

Box = Sequence[float]


class CliError(Exception):
    """A failure, in words for the person at the terminal."""


class ServiceError(CliError):
    """The service said no. ``code`` is its stable word for the reason."""

    def __init__(self, message: str, code: str = "", status: int = 0) -> None:
        super().__init__(message, code, status)
        self.message, self.code, self.status = message, code, status

    def __str__(self) -> str:
        return f"{self.message} ({self.code})" if self.code else self.message


@dataclass(frozen=True, slots=True)
class NewAvatar:
    """A picture file, and the box of the thing in it, in pixels."""

    path: Path
    box_xyxy: Box | None = None

    def body(self) -> dict[str, Any]:
        """As the service wants it."""
        body: dict[str, Any] = {"image": data_url(self.path)}
        return body if self.box_xyxy is None else {**body, "box_xyxy": list(self.box_xyxy)}


@dataclass(frozen=True, slots=True)
class NewConcept:
    """What is to be remembered."""

    name: str
    avatars: tuple[NewAvatar, ...]
    category: str = ""
    info: str = ""

    def body(self) -> dict[str, Any]:
        """As the service wants it."""
        avatars = [a.body() for a in self.avatars]
        return {"name": self.name, "category": self.category, "info": self.info, "avatars": avatars}


def service_of(home: Path) -> Service:
    """The service of ``home``; RAP_URL and RAP_API_KEY win. Raises CliError where neither says."""
    record = Home.at(home).service()
    url = os.environ.get("RAP_URL") or (record.url if record else "")
    key = os.environ.get("RAP_API_KEY") or (record.api_key if record else "")
    if not url:
        raise CliError(f"No service is running in {home}: start it with `rap up`, or set RAP_URL.")
    return Service(url.rstrip("/"), key)


def operators_service(home: Path) -> Service:
    """The service of ``home`` with the operator's key; RAP_URL and RAP_OPERATOR_KEY win. Raises CliError."""
    record = Home.at(home).service()
    key = os.environ.get("RAP_OPERATOR_KEY") or (record.operator_key if record else "")
    if not key:
        raise CliError(f"There is no operator's key in {home}: set RAP_OPERATOR_KEY.")
    return Service(service_of(home).url, key)


def http_client(service: Service, timeout: httpx.Timeout = TIMEOUT) -> httpx.Client:
    """A client for the service."""
    return httpx.Client(timeout=timeout, trust_env=through_proxy(service))


def through_proxy(service: Service) -> bool:
    """Whether the environment's proxy may be used: never to this machine itself."""
    return urlsplit(service.url).hostname not in _LOOPBACK


def not_running(service: Service) -> CliError:
    """What to tell when nobody listens."""
    return CliError(f"The service is not running at {service.url}: start it with `rap up`.")


def is_ready(service: Service) -> bool:
    """Whether the service says that it can serve."""
    try:
        with http_client(service, httpx.Timeout(5.0)) as http:
            return http.get(f"{service.url}/readyz").status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


class RapClient:
    """A connection to the service; threads may share it."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._http = http_client(service)

    def __enter__(self) -> "RapClient":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._http.close()

    def remember(self, user: str, concept: NewConcept) -> ConceptJson:
        """The stored concept; ``warnings`` names what it looks like."""
        return cast(ConceptJson, self.call("POST", _concepts(user), concept.body()))

    def replace(self, user: str, concept_id: str, concept: NewConcept) -> ConceptJson:
        """The concept after everything but its id was replaced."""
        return cast(ConceptJson, self.call("PUT", _concepts(user, concept_id), concept.body()))

    def forget(self, user: str, concept_id: str) -> None:
        """Deletes a concept."""
        self.call("DELETE", _concepts(user, concept_id))

    def concepts(self, user: str) -> list[ConceptJson]:
        """All of the user's concepts, oldest first."""
        return cast(list[ConceptJson], self.listed(_concepts(user)))

    def listed(self, path: str) -> list[dict[str, Any]]:
        """All rows of a list, oldest first."""
        found: list[dict[str, Any]] = []
        query = f"?limit={PAGE}"
        while True:
            page = self.call("GET", path + query)
            found += page["data"]
            if not page.get("has_more"):
                return found
            query = f"?limit={PAGE}&after={quote(page['last_id'])}"

    def retrieve(
        self, user: str, picture: Path, *, boxes_xyxy: Sequence[Box] | None = None, top_k: int = 5
    ) -> RetrievalJson:
        """What the picture shows: ranked candidates per region, and the evidence."""
        body: dict[str, Any] = {"image": data_url(picture), "top_k": top_k}
        if boxes_xyxy is not None:
            body["boxes_xyxy"] = [list(b) for b in boxes_xyxy]
        return cast(RetrievalJson, self.call("POST", f"{user_path(user)}/retrieve", body))

    def chat(self, body: dict[str, Any]) -> dict[str, Any]:
        """A chat completion, not streamed."""
        return self.call("POST", "/v1/chat/completions", body)

    def model(self) -> str:
        """The model that answers here."""
        return str(self.call("GET", "/v1/models")["data"][0]["id"])

    def send_archive(self, user: str, archive: bytes) -> dict[str, Any]:
        """The job that takes an archive in."""
        headers = {"Content-Type": "application/zip"}
        return cast(
            dict[str, Any], self._answered("POST", f"{user_path(user)}/concepts:import", archive, headers).json()
        )

    def archive(self, job_id: str) -> bytes:
        """What an export made."""
        return self._answered("GET", f"/v1/jobs/{quote(job_id, safe='')}/archive", None, {}).content

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """What the service answers; raises ServiceError. What it is too busy for is asked again for a while."""
        data = None if body is None else json.dumps(body).encode()
        headers = {} if data is None else {"Content-Type": "application/json"}
        return cast(dict[str, Any], self._answered(method, path, data, headers).json())

    def _answered(self, method: str, path: str, data: bytes | None, headers: dict[str, str]) -> httpx.Response:
        for _ in range(MAX_TRIES):
            response = self._send(method, path, data, headers)
            if response.status_code != httpx.codes.TOO_MANY_REQUESTS:
                break
            time.sleep(_pause(response))
        if response.is_success:
            return response
        raise _refusal(response)

    def _send(self, method: str, path: str, data: bytes | None, headers: dict[str, str]) -> httpx.Response:
        keyed = {"Authorization": f"Bearer {self.service.api_key}", **headers}
        try:
            return self._http.request(method, self.service.url + path, content=data, headers=keyed)
        except httpx.ConnectError as error:
            raise not_running(self.service) from error
        except httpx.TimeoutException as error:
            raise CliError(f"The service at {self.service.url} did not answer in time.") from error
        except httpx.TransportError as error:
            raise CliError(f"The connection to {self.service.url} broke: {error}") from error


def data_url(picture: Path) -> str:
    """The file as a data URL; raises CliError where there is no such file."""
    if not picture.is_file():
        raise CliError(f"There is no picture {str(picture)!r}.")
    kind = mimetypes.guess_type(picture.name)[0] or ""
    media_type = kind if kind.startswith("image/") else "image/jpeg"
    return f"data:{media_type};base64,{base64.b64encode(picture.read_bytes()).decode()}"


def user_path(user: str) -> str:
    """Where a user's things are."""
    return f"/v1/users/{quote(user, safe='')}"


def _concepts(user: str, concept_id: str | None = None) -> str:
    path = f"{user_path(user)}/concepts"
    return path if concept_id is None else f"{path}/{quote(concept_id, safe='')}"


def _pause(response: httpx.Response) -> float:
    after = response.headers.get("Retry-After", "1")
    return min(MAX_PAUSE_SECONDS, float(after)) if after.isdigit() else 1.0


def _refusal(response: httpx.Response) -> ServiceError:
    try:
        error = response.json()["error"]
        return ServiceError(str(error["message"]), str(error.get("code") or ""), response.status_code)
    except (ValueError, KeyError, TypeError):
        return ServiceError(f"HTTP {response.status_code}: {response.text[:200]}", status=response.status_code)
