"""``rap ask``: a question about a picture, answered as it comes, with what the answer rests on."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from rich.markup import escape
from rich.table import Table

from rap_serve.cli.client import (
    ANSWER_SECONDS,
    CliError,
    ServiceError,
    data_url,
    not_running,
    service_of,
    through_proxy,
)
from rap_serve.cli.concepts import UserOption
from rap_serve.cli.console import err, out
from rap_serve.cli.draw import Mark, annotated_file
from rap_serve.cli.home import DEFAULT_HOME, HomeOption, Service
from rap_serve.cli.wire import EvidenceJson, RapJson

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types.chat import ChatCompletionMessageParam

DEFAULT_QUESTION = "What is in this picture?"
NOTHING: RapJson = {"evidence": [], "degraded": [], "cache": "bypass", "timings_ms": {}}


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked. Without a model it goes to the first one of the service."""

    text: str
    picture: Path | None = None
    user: str = "default"
    retrieval: bool = True
    model: str | None = None

    def messages(self) -> list["ChatCompletionMessageParam"]:
        """As OpenAI's clients send it."""
        if self.picture is None:
            return [{"role": "user", "content": self.text}]
        picture = {"type": "image_url", "image_url": {"url": data_url(self.picture)}}
        content = [picture, {"type": "text", "text": self.text}]
        return cast("list[ChatCompletionMessageParam]", [{"role": "user", "content": content}])


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, and how long the client waited for it in milliseconds."""

    text: str
    rap: RapJson
    model: str
    usage: dict[str, int]
    first_token_ms: float | None
    total_ms: float


def ask(
    words: Annotated[list[str], typer.Argument(metavar="[PHOTO] QUESTION", help="A picture, and what to ask.")],
    user: UserOption = "default",
    save: Annotated[Path | None, typer.Option(help="Write the picture with boxes and names here.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Only JSON on standard output.")] = False,
    no_retrieval: Annotated[bool, typer.Option("--no-retrieval", help="Ask the bare model.")] = False,
    model: Annotated[str | None, typer.Option(help="The model to ask; the service's first where absent.")] = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Asks about a picture, or about things by their names."""
    text, picture = split_words(words)
    if save is not None and picture is None:
        raise CliError("--save draws on a picture: give one before the question.")
    question = Question(text, picture, user, not no_retrieval, model)
    answer = ask_service(service_of(home), question, on_text=None if as_json else _print_piece)
    if as_json:
        typer.echo(json.dumps(answer_json(answer), ensure_ascii=False, indent=1))
    else:
        show_grounds(answer)
    if save is not None and picture is not None:
        annotated_file(picture, marks(answer.rap["evidence"]), save)
        (err if as_json else out).print(f"Picture  {save}", highlight=False, soft_wrap=True)


def split_words(words: Sequence[str]) -> tuple[str, Path | None]:
    """Question and picture out of ``[PHOTO] QUESTION``; a picture alone asks what is in it."""
    if len(words) == 1:
        alone = Path(words[0])
        return (DEFAULT_QUESTION, alone) if alone.is_file() else (words[0], None)
    if len(words) == 2:
        return words[1], Path(words[0])
    raise CliError("Ask with a question, or a picture and a question; put the question in quotes.")


def ask_service(service: Service, question: Question, *, on_text: Callable[[str], None] | None = None) -> Answer:
    """The whole answer; ``on_text`` is given each piece as it comes. Raises CliError."""
    with _openai(service) as client:
        return _streamed(client, question, on_text or (lambda piece: None))


def answer_json(answer: Answer) -> dict[str, Any]:
    """The answer for a program."""
    first = None if answer.first_token_ms is None else round(answer.first_token_ms, 1)
    timings = {"first_token_ms": first, "total_ms": round(answer.total_ms, 1)}
    return {
        "answer": answer.text,
        "rap": answer.rap,
        "model": answer.model,
        "usage": answer.usage,
        "client_timings": timings,
    }


def show_grounds(answer: Answer) -> None:
    """Prints what the answer rests on and how long it took."""
    evidence = answer.rap["evidence"]
    out.print("" if answer.text else "[dim](The answer is empty.)[/]")
    out.print(evidence_table(evidence) if evidence else "[dim]No concept was recognised; nothing personal was used.[/]")
    if answer.rap["degraded"]:
        out.print(f"[yellow]Degraded:[/] {escape(', '.join(answer.rap['degraded']))}")
    steps = ", ".join(f"{name} {ms:.0f}" for name, ms in answer.rap["timings_ms"].items())
    first = "-" if answer.first_token_ms is None else f"{answer.first_token_ms:.0f}"
    waited = f"first token {first}, whole answer {answer.total_ms:.0f}"
    out.print(f"[dim]ms: {waited}; service: {escape(steps or '-')}; cache {answer.rap['cache']}[/]", highlight=False)


def evidence_table(evidence: Sequence[EvidenceJson]) -> Table:
    """Why each concept was in the prompt, a row each."""
    table = Table("name", "confidence", "similarity", "source", "box", "version", header_style="bold")
    for e in evidence:
        box = ", ".join(f"{v:.0f}" for v in e["box_xyxy"]) if e["box_xyxy"] else "-"
        name = f"{e['name']} ({e['shared_by']}'s)" if e.get("shared_by") else e["name"]
        table.add_row(
            escape(name), _number(e["confidence"]), _number(e["similarity"]), e["source"], box, str(e["version"])
        )
    return table


def marks(evidence: Sequence[EvidenceJson]) -> list[Mark]:
    """What to draw: the concepts that have a place in the picture."""
    return [Mark(_box(e["box_xyxy"]), e["name"]) for e in evidence if e["box_xyxy"]]


def _box(box: Sequence[float]) -> tuple[float, float, float, float]:
    return box[0], box[1], box[2], box[3]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _print_piece(piece: str) -> None:
    out.print(piece, end="", markup=False, highlight=False, soft_wrap=True)


@contextmanager
def _openai(service: Service) -> Iterator["OpenAI"]:
    """OpenAI's client for the service, its errors translated."""
    from openai import APIConnectionError, APIError, APIStatusError, APITimeoutError, DefaultHttpxClient, OpenAI

    try:
        with DefaultHttpxClient(trust_env=through_proxy(service)) as http:
            yield OpenAI(
                base_url=f"{service.url}/v1", api_key=service.api_key, http_client=http, timeout=ANSWER_SECONDS
            )
    except APITimeoutError as error:
        raise CliError(f"The service at {service.url} did not answer in time.") from error
    except APIConnectionError as error:
        raise not_running(service) from error
    except APIStatusError as error:
        body = error.body if isinstance(error.body, dict) else {}
        message = str(body.get("message") or error.message)
        raise ServiceError(message, str(body.get("code") or ""), error.status_code) from error
    except APIError as error:
        raise ServiceError(error.message, error.code or "") from error


def _streamed(client: "OpenAI", question: Question, on_text: Callable[[str], None]) -> Answer:
    model = question.model or client.models.list().data[0].id
    began = time.perf_counter()
    first_token_ms: float | None = None
    pieces: list[str] = []
    rap = NOTHING
    usage: dict[str, int] = {}
    chunks = client.chat.completions.create(
        model=model,
        messages=question.messages(),
        user=question.user,
        stream=True,
        stream_options={"include_usage": True},
        extra_body={"rap": {"retrieval": question.retrieval}},
    )
    for chunk in chunks:
        piece = chunk.choices[0].delta.content if chunk.choices else None
        if piece:
            first_token_ms = first_token_ms or (time.perf_counter() - began) * 1_000
            pieces.append(piece)
            on_text(piece)
        rap = cast(RapJson, (chunk.model_extra or {}).get("rap", rap))
        usage = chunk.usage.model_dump(include={"prompt_tokens", "completion_tokens"}) if chunk.usage else usage
    total_ms = (time.perf_counter() - began) * 1_000
    return Answer("".join(pieces).strip(), rap, model, usage, first_token_ms, total_ms)
