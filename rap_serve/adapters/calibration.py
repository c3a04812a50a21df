"""Calibrations as files beside the weights they were measured on."""

import json
from pathlib import Path

from rap_serve.domain.errors import InvalidInput
from rap_serve.domain.match import Calibration

FILE = "embedding.json"


def load_calibration(path: str) -> Calibration:
    """The calibration in ``path``, a file or a model's folder.

    Raises InvalidInput where there is none: without one no similarity may name anything.
    """
    file = Path(path) / FILE if Path(path).is_dir() else Path(path)
    try:
        measured = json.loads(file.read_text())["calibration"]
        return Calibration(
            slope=float(measured["confidence"]["slope"]),
            midpoint=float(measured["confidence"]["midpoint"]),
            rival_share=float(measured["confidence"]["rival_share"]),
            least_rival=float(measured["confidence"]["least_rival"]),
            named_confidence=float(measured["confidence"]["named"]),
            tail_concepts=int(measured["strangers"]["concepts"]),
            tail_rate=tuple(map(float, measured["strangers"]["rate"])),
            tail_similarity=tuple(map(float, measured["strangers"]["similarity"])),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInput(
            f"No calibration in {file}: measure one for this embedder and name it in embedder.calibration."
        ) from error
