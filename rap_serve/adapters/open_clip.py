"""Pictures and texts as unit vectors, by any CLIP that open_clip can load."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray
from PIL import Image

from rap_serve.domain.colour import DIMENSIONS, colour_descriptor, join_colour
from rap_serve.domain.region import BoxXyxy, Pixels, cut_out

CARD = "embedding.json"
Floats = NDArray[np.float32]
Precision = Literal["fp32", "fp16", "bf16"]
NUMBERS: dict[str, torch.dtype] = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True, slots=True, eq=False)
class Crops:
    """What the model takes: ``pixels``, float32, (n, 3, s, s), and ``colour``, float32, (n, k), norm 1."""

    pixels: Floats
    colour: Floats

    def __len__(self) -> int:
        return len(self.pixels)

    @classmethod
    def joined(cls, parts: Sequence[Crops]) -> Crops:
        """The crops of all parts as one batch, in order; at least one part."""
        return cls(np.concatenate([part.pixels for part in parts]), np.concatenate([part.colour for part in parts]))

    def parts(self, size: int) -> list[Crops]:
        """These in order, in parts of ``size`` or fewer; one part where there are none."""
        starts = range(0, max(1, len(self)), size)
        return [Crops(self.pixels[s : s + size], self.colour[s : s + size]) for s in starts]


def crops_in(batch: Sequence[Crops]) -> int:
    """How many crops a batch holds."""
    return sum(map(len, batch))


class OpenClipEmbedder:
    """The image and text towers of one CLIP.

    ``version`` names what makes vectors comparable: weights, precision-independent, and the share of colour.
    ``dim`` is the width of picture vectors, ``text_dim`` that of text vectors.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        transform: Callable[[Image.Image], torch.Tensor],
        tokenize: Callable[[list[str]], torch.Tensor],
        *,
        version: str,
        colour_weight: float,
        device: str,
        precision: Precision,
    ) -> None:
        self.version = version
        self._model = model.eval()
        self._transform = transform
        self._tokenize = tokenize
        self._colour_weight = colour_weight
        self._device = torch.device(device)
        self._numbers = NUMBERS[precision]
        self.text_dim = int(self.embed_texts(["a photo"]).shape[1])
        self.dim = self.text_dim + (DIMENSIONS if colour_weight else 0)

    @classmethod
    def load(
        cls,
        model: str,
        *,
        pretrained: str | None = None,
        device: str = "cpu",
        precision: Precision = "fp32",
        threads: int | None = None,
    ) -> OpenClipEmbedder:
        """A ready embedder.

        ``model``: a folder that open_clip reads (with ``embedding.json`` beside the weights: its version and
        share of colour), or one of open_clip's architectures, whose ``pretrained`` tag is then needed.
        ``threads``: of this process's torch, for all of its models.
        """
        if threads is not None:
            torch.set_num_threads(threads)
        folder = Path(model)
        name = f"local-dir:{model}" if folder.is_dir() else model
        network, _, transform = open_clip.create_model_and_transforms(
            name, pretrained=pretrained, precision=precision, device=device
        )
        card = _read_card(folder)
        version = card.version if card else f"{model}:{pretrained}"
        return cls(
            network,
            transform,
            open_clip.get_tokenizer(name),
            version=version,
            colour_weight=card.colour_weight if card else 0.0,
            device=device,
            precision=precision,
        )

    def preprocess(self, image: Pixels, boxes_xyxy: Sequence[BoxXyxy]) -> Crops:
        """One crop a box, the box clipped to the picture. ``image``: RGB, uint8, (h, w, 3).

        Raises InvalidInput where a box covers nothing of the picture.
        """
        return self.preprocess_crops([cut_out(image, box) for box in boxes_xyxy])

    def preprocess_crops(self, crops: Sequence[Pixels]) -> Crops:
        """The same of what was cut out already. Each: RGB, uint8, (h, w, 3)."""
        if not crops:
            side = self._transform(Image.new("RGB", (8, 8))).shape
            return Crops(np.zeros((0, *side), np.float32), np.zeros((0, self._colour_dim), np.float32))
        pixels = torch.stack([self._transform(Image.fromarray(crop)) for crop in crops])
        return Crops(pixels.numpy(), self._colours(crops))

    @torch.inference_mode()
    def forward(self, batch: Crops) -> Floats:
        """Picture vectors: float32, (n, dim), L2 norm 1."""
        if not len(batch):
            return np.zeros((0, self.dim), np.float32)
        pixels = torch.from_numpy(batch.pixels).to(self._device, self._numbers)
        learned = self._model.encode_image(pixels)  # type: ignore[operator]
        return join_colour(_unit(learned), batch.colour, self._colour_weight)

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> Floats:
        """Text vectors of the learned space: float32, (n, text_dim), L2 norm 1."""
        tokens = self._tokenize(list(texts)).to(self._device)
        return _unit(self._model.encode_text(tokens))  # type: ignore[operator]

    @property
    def _colour_dim(self) -> int:
        return DIMENSIONS if self._colour_weight else 0

    def _colours(self, crops: Sequence[Pixels]) -> Floats:
        if not self._colour_weight:
            return np.zeros((len(crops), 0), np.float32)
        return np.stack([colour_descriptor(crop) for crop in crops])


@dataclass(frozen=True, slots=True)
class _Card:
    version: str
    colour_weight: float


def _read_card(folder: Path) -> _Card | None:
    path = folder / CARD
    if not path.is_file():
        return None
    notes = json.loads(path.read_text())
    return _Card(str(notes["version"]), float(notes["colour_weight"]))


def _unit(vectors: torch.Tensor) -> Floats:
    norm = torch.nn.functional.normalize(vectors.float(), dim=1)
    return np.asarray(norm.cpu().numpy(), dtype=np.float32)
