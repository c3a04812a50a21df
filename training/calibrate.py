"""Measure what the similarities of an embedder mean, and write it into its ``embedding.json``.

    python -m training.calibrate --embedder models/tiny/embedder --detector models/tiny/detector

Chooses the share of colour and fits the calibration on pictures of the ``dev`` split, with the regions that the
detector finds as the profile serves it. To be run again for new weights of either. Takes some minutes on one thread.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rap_serve.adapters.calibration import load_calibration
from rap_serve.adapters.open_clip import CARD, OpenClipEmbedder
from rap_serve.adapters.yolo_world import YoloWorldDetector
from rap_serve.cli.console import tracked
from rap_serve.domain.match import AuthorisationPolicy, Calibration, authorise, authorise_named, leaders
from rap_serve.settings import Settings, model_path
from training.calibration_fit import Compared, Confidence, equal_error, fit_confidence, tail
from training.calibration_pictures import LIBRARY, PICTURES, Parts, Seen, Shelf, take_pictures
from training.memory import keep_freed_memory

Floats = NDArray[np.float32]

SHARES = tuple(round(0.05 * i, 2) for i in range(1, 19))
RECALL = 0.95
REPORTED_RATES = (0.01, 0.02, 0.05, 0.1)
MOST_STRANGERS = 2


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """A picture against a library, before colour has its share: both (regions, LIBRARY), cosines."""

    learned: Floats
    colour: Floats
    shown: NDArray[np.int64]
    present: NDArray[np.bool_]

    @classmethod
    def of(cls, picture: Seen, avatars: Parts, *, own: bool) -> Pair:
        """``own``: whether it is the library that the picture's concepts are of; no other has any of its things."""
        learned, colour = picture.parts.learned @ avatars.learned.T, picture.parts.colour @ avatars.colour.T
        present = np.zeros(LIBRARY, np.bool_)
        present[list(picture.concepts if own else ())] = True
        return cls(learned, colour, picture.shown if own else np.full_like(picture.shown, -1), present)

    def at(self, share: float) -> Compared:
        """The cosine of joined embeddings is the weighted mean of the parts' cosines."""
        similarities = np.asarray((1 - share) * self.learned + share * self.colour, dtype=np.float32)
        return Compared(similarities, self.shown, self.present)


def pairs_of_own(shelves: Sequence[Shelf]) -> list[Pair]:
    """Every picture against its own library, in order."""
    return [Pair.of(picture, shelf.avatars, own=True) for shelf in shelves for picture in shelf.pictures]


def pairs_of_strangers(shelves: Sequence[Shelf]) -> list[Pair]:
    """Pictures of one or two things against libraries that have neither."""
    return [
        Pair.of(picture, shelf.avatars, own=False)
        for home in shelves
        for picture in home.pictures
        if picture.things <= MOST_STRANGERS
        for shelf in shelves
        if shelf is not home or not picture.concepts
    ]


def choose_share(own: Sequence[Pair], strangers: Sequence[Pair]) -> tuple[float, dict[float, float]]:
    """The share of colour at which strangers pass least, and for each share how many of their pictures do."""
    passing = {share: _passing(own, strangers, share) for share in SHARES}
    return min(passing, key=lambda share: passing[share]), passing


def calibrate(own: Sequence[Pair], strangers: Sequence[Pair], share: float) -> dict[str, dict[str, Any]]:
    """The calibration as ``embedding.json`` holds it."""
    compared = [pair.at(share) for pair in own]
    confidence = fit_confidence(compared)
    reached = tail(_best(pair, share) for pair in strangers)
    unnamed = _calibration(confidence, named=0.0, strangers=reached)
    best = np.stack([(leaders(c.similarities) * unnamed.confidences(c.similarities)).max(axis=0) for c in compared])
    present = np.stack([c.present for c in compared])
    named = equal_error(best[present], best[~present])
    rounded = {name: round(value, 4) for name, value in {**asdict(confidence), "named": named}.items()}
    return {"confidence": rounded, "strangers": {"concepts": LIBRARY, **reached}}


def figures(shelves: Sequence[Shelf], share: float, calibration: Calibration, rate: float) -> dict[str, float]:
    """What the serving rules make of the same pictures at a false-accept rate.

    Shares of concepts authorised, of pictures with a wrong name, and of right answers to "is it there?".
    """
    policy = AuthorisationPolicy(false_accept_rate=rate)
    found: dict[str, list[bool]] = {}
    for picture, avatars in ((picture, shelf.avatars) for shelf in shelves for picture in shelf.pictures):
        similarities = Pair.of(picture, avatars, own=True).at(share).similarities
        seen = picture.regions, similarities, calibration.confidences(similarities)
        accepted = authorise(*seen, calibration=calibration, policy=policy)
        given, shown = {a.concept for a in accepted}, set(picture.concepts)
        found.setdefault(f"authorised, {len(shown)} in the picture", []).extend(c in given for c in shown)
        found.setdefault(f"wrong name, {len(shown)} in the picture", []).append(bool(given - shown))
        for concept in range(LIBRARY):
            named = authorise_named(*seen, [concept], taken=(), calibration=calibration)
            asked = "asked by name, there" if concept in shown else "asked by name, not there"
            found.setdefault(asked, []).append(bool(concept in given or named) == (concept in shown))
    return {name: round(float(np.mean(values)), 4) for name, values in sorted(found.items()) if values}


def write_card(folder: Path, share: float, calibration: dict[str, dict[str, Any]]) -> None:
    """Puts the share of colour, which is part of the version, and the calibration into the folder's notes."""
    card = folder / CARD
    notes = json.loads(card.read_text())
    weights = str(notes["version"]).split("+")[0]
    notes |= {"version": f"{weights}+c{round(100 * share):02d}", "colour_weight": share, "calibration": calibration}
    card.write_text(json.dumps(notes, indent=2) + "\n")


def _best(pair: Pair, share: float) -> float:
    return float(pair.at(share).similarities.max())


def _passing(own: Sequence[Pair], strangers: Sequence[Pair], share: float) -> float:
    """The share of strangers' pictures that reach the similarity which RECALL of the concepts shown reach."""
    compared = [pair.at(share) for pair in own]
    led = [np.where(leaders(c.similarities), c.similarities, -1).max(axis=0)[c.present] for c in compared]
    threshold = np.quantile(np.concatenate(led), 1 - RECALL)
    return float(np.mean([_best(pair, share) >= threshold for pair in strangers]))


def _calibration(confidence: Confidence, *, named: float, strangers: dict[str, list[float]]) -> Calibration:
    return Calibration(
        **asdict(confidence),
        named_confidence=named,
        tail_concepts=LIBRARY,
        tail_rate=tuple(strangers["rate"]),
        tail_similarity=tuple(strangers["similarity"]),
    )


def _models(embedder_folder: Path, detector_path: Path, profile: str) -> tuple[OpenClipEmbedder, YoloWorldDetector]:
    """Both as the profile serves them, on one thread. The detector's words may come from another text tower."""
    served = Settings.load(profile).detector
    embedder = OpenClipEmbedder.load(str(embedder_folder), threads=1)
    words = Path(model_path(served.text_encoder))
    same = words.resolve() == embedder_folder.resolve()
    weights = next(detector_path.glob("*.pt")) if detector_path.is_dir() else detector_path
    detector = YoloWorldDetector.load(
        str(weights),
        text_encoder=embedder if same else OpenClipEmbedder.load(str(words), threads=1),
        image_size=served.image_size,
        confidence=served.confidence,
        max_regions=served.max_regions,
        iou=served.iou,
    )
    return embedder, detector


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--embedder", type=Path, default=Path("models/tiny/embedder"))
    parser.add_argument("--detector", type=Path, default=Path("models/tiny/detector"))
    parser.add_argument("--profile", default="local", help="how the detector is served")
    parser.add_argument("--shelves", type=int, default=24, help=f"libraries of {LIBRARY}, {PICTURES} pictures each")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    keep_freed_memory()
    embedder, detector = _models(options.embedder, options.detector, options.profile)
    rng = np.random.default_rng(options.seed)
    taken = take_pictures(detector, embedder, rng, shelves=options.shelves)
    steps = options.shelves * (PICTURES + 1)
    shelves = [shelf for shelf in tracked(taken, "looking at pictures", steps) if shelf is not None]
    own, strangers = pairs_of_own(shelves), pairs_of_strangers(shelves)
    share, passing = choose_share(own, strangers)
    write_card(options.embedder, share, calibrate(own, strangers, share))
    calibration = load_calibration(str(options.embedder))
    measured = {f"at {rate:.0%}": figures(shelves, share, calibration, rate) for rate in REPORTED_RATES}
    print(json.dumps({"colour_weight": share, "strangers_by_colour_weight": passing, **measured}, indent=2))


if __name__ == "__main__":
    main()
