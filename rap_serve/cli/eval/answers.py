"""What an answer says: names, yes or no, a choice, words."""

import re
from collections.abc import Collection, Mapping

from rap_serve.cli.scoring import handles_in, names_in
from rap_serve.domain.concept import fold_name

_HANDLES = re.compile(r"<[^<>\n]*>")
_FIRST = re.compile(r"\W*(yes|no)\b")
_NO = re.compile(r"\b(?:no|not|none|nope|cannot)\b|n't\b|n’t\b")
_YES = re.compile(r"\b(?:yes|yeah|yep)\b")
_LETTER = (
    re.compile(r"^\W*\(([A-Z])\)"),
    re.compile(r"^\W*([A-Z])\s*(?:[.):,;-]|$)"),
    re.compile(r"\b(?i:answer|option|choice)\b(?:\s+is|\s*:)?\s*\(?([A-Z])\b(?!\s\w)"),
)
_ARTICLE = re.compile(r"^(?:a|an|the)\s+")


def judge(answer: str, names: Collection[str], expected: frozenset[str]) -> tuple[frozenset[str], frozenset[str]]:
    """The right names that the answer says, and the wrong ones, invented ``<handles>`` among them.

    ``names``: the user's concepts; ``expected``: those that would be right, folded.
    """
    said = {fold_name(n) for n in names_in(answer, names)} | {fold_name(h) for h in handles_in(answer)}
    return frozenset(said & expected), frozenset(said - expected)


def yes_or_no(answer: str, name: str = "") -> bool | None:
    """What the answer says to a yes-no question; None where it says neither.

    Its first word decides; otherwise a negation is a no, and a yes or the very ``name`` is a yes.
    """
    text = _HANDLES.sub(" ", fold_name(answer))
    if first := _FIRST.match(text):
        return first[1] == "yes"
    if _NO.search(text):
        return False
    if _YES.search(text) or (name and names_in(answer, [name])):
        return True
    return None


def chosen(answer: str, options: Mapping[str, str]) -> str | None:
    """The letter of the one option that the answer names, by its letter or its words; None for none or several.

    An "A" counts as a letter only where it stands alone or before a full stop, bracket or colon: it is a word, too.
    """
    text = _HANDLES.sub(" ", answer).strip()
    letters = {text.upper()} if len(text) == 1 else {m[1] for pattern in _LETTER for m in pattern.finditer(text)}
    by_words = {_bare(_HANDLES.sub(" ", words)): letter for letter, words in options.items()}
    found = (letters & options.keys()) | {by_words[w] for w in _held(text, by_words)}
    return found.pop() if len(found) == 1 else None


def holds(answer: str, words: str) -> bool:
    """Whether the words stand in the answer, whole and in their order; case does not matter."""
    return bool(_held(answer, [_bare(words)]))


def _held(text: str, phrases: Collection[str]) -> set[str]:
    """The phrases that stand in the text; the longest where one holds another."""
    longest_first = "|".join(re.escape(p) for p in sorted(phrases, key=len, reverse=True))
    return set(re.findall(rf"(?<![\w-])({longest_first})(?![\w-])", fold_name(text)))


def _bare(words: str) -> str:
    return _ARTICLE.sub("", fold_name(words).strip(" ."))
