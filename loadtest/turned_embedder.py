"""An embedder as good as another one, in a space of its own: for trying out a change of embedders.

    python -m loadtest.turned_embedder models/tiny/embedder /tmp/turned

Its image and text embeddings are those of the given one, turned by one random rotation: every similarity within it is
the same to rounding, what the two make of one thing is unlike.
"""

import argparse
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

WEIGHTS, CARD = "open_clip_model.safetensors", "embedding.json"
PROJECTIONS = ("visual.proj", "text_projection")


def turned(model: Path, out: Path, *, seed: int = 0) -> str:
    """Writes the folder ``out``; returns the version of its embeddings."""
    shutil.copytree(model, out, dirs_exist_ok=True)
    weights = load_file(out / WEIGHTS)
    width = weights[PROJECTIONS[0]].shape[1]
    rotation, _ = torch.linalg.qr(torch.randn(width, width, generator=torch.Generator().manual_seed(seed)))
    for name in PROJECTIONS:
        weights[name] = (weights[name].float() @ rotation).to(weights[name].dtype).contiguous()
    save_file(weights, out / WEIGHTS)
    card = json.loads((out / CARD).read_text())
    card["version"] += "-turned"
    (out / CARD).write_text(json.dumps(card))
    return str(card["version"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    print(turned(options.model, options.out))
