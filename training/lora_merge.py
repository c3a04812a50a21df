"""What an adapter adds to a base, and the folders that a tuned model is served from.

    merged(...)  one plain checkpoint: the base's names, every adapted matrix with its product added
    adapter(...) the adapter alone, for an engine that serves many of them over one base

A trained projector has no place in a LoRA adapter: engines take from one nothing but low-rank pairs. So an adapter
whose projector was trained is exported together with a copy of the base that holds the projector.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file

from training.lora_shards import ShardWriter, draft_of, read_file, read_json, read_tensors, some_of

ADAPTER, PROJECTOR = "adapter", "projector.safetensors"
_PEFT_PREFIX = "base_model.model."
_HOMES = (
    ("language_model.model.", "model.language_model."),
    ("language_model.lm_head.", "lm_head."),
    ("multi_modal_projector.", "model.multi_modal_projector."),
    ("vision_tower.", "model.vision_tower."),
    ("visual.", "model.visual."),
    ("model.layers.", "model.language_model.layers."),
)


@dataclass(frozen=True, slots=True, eq=False)
class Delta:
    """A low-rank pair. ``down``: (rank, inputs), ``up``: (outputs, rank), ``scale``: of their product."""

    down: torch.Tensor
    up: torch.Tensor
    scale: float

    def added_to(self, weight: torch.Tensor) -> torch.Tensor:
        """``weight`` with the product added, summed in float32; ValueError where the shapes differ."""
        if (self.up.shape[0], self.down.shape[1]) != tuple(weight.shape):
            raise ValueError(
                f"an adapter of {self.up.shape[0]}x{self.down.shape[1]} does not fit {tuple(weight.shape)}"
            )
        return torch.addmm(weight.float(), self.up.float(), self.down.float(), alpha=self.scale).to(weight.dtype)


def read_deltas(folder: Path) -> dict[str, Delta]:
    """The pairs of a peft adapter folder by the module they belong to.

    ValueError names a setting or a tensor that is more than a plain pair: it would be lost.
    """
    scale = _scale(folder / "adapter_config.json")
    file = next((folder / n for n in ("adapter_model.safetensors", "adapter_model.bin") if (folder / n).exists()), None)
    if file is None:
        raise FileNotFoundError(f"{folder} holds no adapter_model.safetensors and no adapter_model.bin")
    halves: dict[str, dict[str, torch.Tensor]] = {"lora_A": {}, "lora_B": {}}
    for name, value in read_file(file):
        module, _, rest = name.removeprefix(_PEFT_PREFIX).rpartition(".lora_")
        half = f"lora_{rest[:1]}"
        if rest not in ("A.weight", "B.weight", "A.default.weight", "B.default.weight"):
            raise ValueError(f"{file}: {name} is no half of a plain low-rank pair")
        halves[half][module] = value
    alone = sorted(halves["lora_A"].keys() ^ halves["lora_B"].keys())
    if alone:
        raise ValueError(f"{file} has only one half of {some_of(alone)}")
    return {module: Delta(down, halves["lora_B"][module], scale) for module, down in halves["lora_A"].items()}


def _scale(file: Path) -> float:
    config = read_json(file)
    for name in ("use_dora", "fan_in_fan_out", "rank_pattern", "alpha_pattern", "modules_to_save", "lora_bias"):
        if config.get(name):
            raise ValueError(f"{file}: {name} is not supported")
    if config.get("bias", "none") != "none":
        raise ValueError(f"{file}: a bias in the adapter is not supported")
    rank, alpha = float(config["r"]), float(config["lora_alpha"])
    return alpha / math.sqrt(rank) if config.get("use_rslora") else alpha / rank


def module_name(stored: str) -> str:
    """The name that a loaded model gives a tensor of a LLaVA or Qwen-VL checkpoint, old names or new."""
    for old, new in _HOMES:
        if stored.startswith(old):
            return new + stored.removeprefix(old)
    return stored


def merged(base: Path, tuned: Path, out: Path, *, dtype: torch.dtype | None = None) -> None:
    """Write the tuned model as one checkpoint that needs neither peft nor the base. ``dtype``: None as the base."""
    deltas = read_deltas(tuned / ADAPTER)
    projector = _projector(tuned)

    def changed(name: str, value: torch.Tensor) -> torch.Tensor:
        delta = deltas.pop(name.removesuffix(".weight"), None)
        whole = projector.pop(name, value).to(dtype or value.dtype)
        return whole if delta is None else delta.added_to(whole)

    with draft_of(out) as draft:
        _rewrite(base, draft, changed)
        _demand_all_used([*deltas, *projector])
        if dtype is not None:
            config = read_json(draft / "config.json") | {"dtype": str(dtype).removeprefix("torch.")}
            (draft / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def adapter(base: Path, tuned: Path, out: Path, *, base_copy: Path | None = None) -> None:
    """Write the adapter alone, and, where the projector was trained, the base with that projector in ``base_copy``.

    ValueError where a copy is needed and not named.
    """
    projector = _projector(tuned)
    if projector and base_copy is None:
        raise ValueError(
            "the projector was trained, and a LoRA adapter cannot hold it: name a folder for a copy of the base that "
            "does (--base-copy), export the merged model (--merged), or tune with --freeze-projector"
        )
    with draft_of(out) as draft:
        shutil.copytree(tuned / ADAPTER, draft, dirs_exist_ok=True)
    if not projector or base_copy is None:
        return
    with draft_of(base_copy) as draft:
        _rewrite(base, draft, lambda name, value: projector.pop(name, value).to(value.dtype))
        _demand_all_used(list(projector))


def _projector(tuned: Path) -> dict[str, torch.Tensor]:
    file = tuned / PROJECTOR
    return load_file(file) if file.exists() else {}


def _rewrite(base: Path, out: Path, changed: Callable[[str, torch.Tensor], torch.Tensor]) -> None:
    """The base under its own names, each tensor as ``changed`` gives it; tokenizer, processor and so on as they are."""
    weights = (".safetensors", ".bin", ".safetensors.index.json", ".bin.index.json")
    for file in base.iterdir():
        if file.is_file() and not file.name.endswith(weights):
            shutil.copy2(file, out / file.name)
    writer = ShardWriter(out)
    for name, value in read_tensors(base):
        writer.add(name, changed(module_name(name), value))
    writer.close()


def _demand_all_used(left: list[str]) -> None:
    if left:
        raise ValueError(f"the base has no place for {some_of(sorted(left))}")
