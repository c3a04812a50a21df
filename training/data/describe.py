"""What a crop shows, in a multimodal model's words, through any OpenAI-compatible endpoint.

Each answer is kept in a file named after the crop's content, so that a run that is resumed asks nothing twice.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import openai

from training.data.drafts import Candidate, Draft, Material
from training.data.problems import Problem

KEY_VARIABLE = "RAP_DESCRIBE_KEY"
MOST_PHRASE_CHARACTERS = 300
MOST_QUESTIONS = 3
MAX_TOKENS = 300
_REFUSALS = (400, 413, 422)  # the endpoint will say the same of this crop the next time
_FENCE = re.compile(r"^```(?:json)?\s*|\s*```$")

PROMPT = """\
Describe the {category} in this picture so that it can be told from others of its kind: one noun phrase of at most \
25 words that begins with "a" or "an". Then ask up to three questions about it that the picture answers, with {{}} in \
place of its name, and answer each in one sentence. Reply with JSON alone: {{"description": "a ...", "questions": \
[{{"question": "What colour is {{}}?", "answer": "{{}} is red."}}]}}"""


class EndpointFailed(Exception):
    """The endpoint could not be reached, or does not take our requests; the same command goes on later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where descriptions come from. ``url`` ends with ``/v1``; the key is read from RAP_DESCRIBE_KEY."""

    url: str
    model: str
    in_flight: int = 4
    retries: int = 4
    timeout_seconds: float = 120.0


@dataclass(frozen=True, slots=True)
class Description:
    """A noun phrase and questions with answers, {} for the name; or why there is none."""

    phrase: str = ""
    questions: tuple[tuple[str, str], ...] = ()
    refused: str = ""


class Describer:
    """Asks about crops, several at a time, with retries that wait longer each time."""

    def __init__(self, endpoint: Endpoint, cache: Path) -> None:
        self._endpoint, self._cache = endpoint, cache
        self._client = openai.OpenAI(
            base_url=endpoint.url,
            api_key=os.environ.get(KEY_VARIABLE, "none"),
            max_retries=endpoint.retries,
            timeout=endpoint.timeout_seconds,
        )

    def close(self) -> None:
        """Give up the connections."""
        self._client.close()

    def described(self, material: Material, *, shard: str = "") -> Material:
        """The material with a phrase for each concept; those that got none are left out and reported.

        Raises EndpointFailed.
        """
        wanted: dict[str, Candidate] = {}
        for draft in material.drafts:
            wanted.update({c.crops[0]: c for c in (*draft.present, *draft.absent) if not (c.phrase or c.info)})
        contents = [material.files[crop] for crop in wanted]
        with ThreadPoolExecutor(self._endpoint.in_flight) as pool:
            answers = list(pool.map(self.describe, contents, [c.category for c in wanted.values()]))
        found = dict(zip(wanted, answers, strict=True))
        drafts = tuple(with_descriptions(draft, found) for draft in material.drafts)
        problems = [Problem("not described", crop, None, shard, d.refused) for crop, d in found.items() if d.refused]
        return replace(
            material,
            drafts=tuple(draft for draft in drafts if draft.present),
            problems=(*material.problems, *problems),
        )

    def describe(self, crop: bytes, category: str) -> Description:
        """What a crop (JPEG) shows; out of the cache where it was asked before. Raises EndpointFailed."""
        prompt = PROMPT.format(category=category)
        digest = hashlib.sha256("\0".join([self._endpoint.model, prompt]).encode() + crop).hexdigest()
        file = self._cache / digest[:2] / f"{digest}.json"
        if not file.exists():
            _write(file, json.dumps({"answer": self._asked(crop, prompt)}, ensure_ascii=False))
        return understood(json.loads(file.read_text(encoding="utf-8"))["answer"])

    def _asked(self, crop: bytes, prompt: str) -> str | None:
        url = f"data:image/jpeg;base64,{base64.b64encode(crop).decode()}"
        content: list[Any] = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": prompt}]
        try:
            completion = self._client.chat.completions.create(
                model=self._endpoint.model,
                messages=[{"role": "user", "content": content}],
                temperature=0,
                max_tokens=MAX_TOKENS,
            )
        except openai.APIStatusError as error:
            if error.status_code in _REFUSALS:
                return None
            detail = f"status {error.status_code} after {self._endpoint.retries} retries"
            raise EndpointFailed(f"{self._endpoint.url}: {detail}. The same command goes on from here.") from error
        except openai.APIError as error:
            raise EndpointFailed(
                f"{self._endpoint.url}: {str(error).rstrip('.')}. The same command goes on from here."
            ) from error
        return completion.choices[0].message.content if completion.choices else None


def understood(answer: str | None) -> Description:
    """An answer as a description: JSON as it was asked for, or a sentence from a model that writes none."""
    if not answer or not answer.strip():
        return Description(refused="the endpoint gave no description")
    text = _FENCE.sub("", answer.strip())
    if not text.startswith("{"):
        return Description(phrase=_phrase(text))
    try:
        content = json.loads(text)
    except ValueError:
        return Description(refused="the endpoint's JSON could not be read")
    phrase = _phrase(str(content.get("description") or ""))
    if not phrase:
        return Description(refused="the endpoint's JSON has no description")
    return Description(phrase, _questions(content.get("questions")))


def with_descriptions(draft: Draft, found: Mapping[str, Description]) -> Draft:
    """The draft without the concepts that got no description."""
    present, absent = _described(draft.present, found), _described(draft.absent, found)
    relations = draft.relations if len(present) == len(draft.present) else ()  # they count places in ``present``
    return replace(draft, present=present, absent=absent, relations=relations)


def plainly_described(material: Material) -> Material:
    """The material with no more said of each concept than its category."""
    return replace(material, drafts=tuple(_plain(draft) for draft in material.drafts))


def _plain(draft: Draft) -> Draft:
    found = {
        c.crops[0]: Description(f"{'an' if c.category[:1] in 'aeiou' else 'a'} {c.category}")
        for c in (*draft.present, *draft.absent)
    }
    return with_descriptions(draft, found)


def _described(candidates: Sequence[Candidate], found: Mapping[str, Description]) -> tuple[Candidate, ...]:
    kept = []
    for candidate in candidates:
        if candidate.phrase or candidate.info:
            kept.append(candidate)
        elif (said := found[candidate.crops[0]]).phrase:
            kept.append(replace(candidate, phrase=said.phrase, questions=(*said.questions, *candidate.questions)))
    return tuple(kept)


def _questions(content: Any) -> tuple[tuple[str, str], ...]:
    """Those that leave a place for the name in both; what else a model writes is dropped."""
    pairs = content if isinstance(content, list) else []
    texts = [(_line(p.get("question")), _line(p.get("answer"))) for p in pairs if isinstance(p, dict)]
    return tuple((q, a) for q, a in texts if "{}" in q and "{}" in a)[:MOST_QUESTIONS]


def _phrase(text: str) -> str:
    phrase = _line(text)[:MOST_PHRASE_CHARACTERS].rstrip(". ")
    starts = phrase.split(" ", 1)[0].lower() in ("a", "an", "the", "this")
    return phrase[0].lower() + phrase[1:] if phrase and starts else phrase


def _line(text: Any) -> str:
    """One line without angle brackets, which are for names."""
    return " ".join(str(text or "").replace("<", "(").replace(">", ")").split())


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(f".{os.getpid()}-{id(text)}")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(file)
