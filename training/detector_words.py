"""The vectors that stand for words: those of the text tower that the detector is served with."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Lexicon = Callable[[str], Floats]


def tower_words(folder: str) -> Lexicon:
    """The text features of the embedder in ``folder``: float32, (512,), norm 1."""
    from rap_serve.adapters.open_clip import OpenClipEmbedder

    encoder = OpenClipEmbedder.load(folder)
    known: dict[str, Floats] = {}

    def lookup(word: str) -> Floats:
        if word not in known:
            known[word] = encoder.embed_texts([word])[0]
        return known[word]

    return lookup


def vectors(lexicon: Lexicon, words: Iterable[str]) -> Floats:
    """One row a word: float32, (words, 512)."""
    return np.stack([lexicon(word) for word in words])
