"""A LLaVA or a Qwen-VL with low-rank adapters in its language model, and the steps that train them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from safetensors.torch import save_file
from torch import distributed
from torch.nn import functional

from training.lora_merge import ADAPTER, PROJECTOR
from training.lora_records import IGNORED, Inputs
from training.run import average_gradients

Model: TypeAlias = Any
"""A peft model around a transformers model; neither is typed."""

LANGUAGE = "model.language_model"
PROJECTORS: Mapping[str, tuple[str, ...]] = {
    "llava": ("model.multi_modal_projector",),
    "qwen2_vl": ("model.visual.merger",),
    "qwen2_5_vl": ("model.visual.merger",),
    "qwen3_vl": ("model.visual.merger", "model.visual.deepstack_merger_list"),
}
"""By ``model_type``, what stands between the vision tower and the language model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What decides the outcome. The defaults are those of "RAP: Retrieval-Augmented Personalization for Multimodal
    LLMs", CVPR 2025, whose text leaves the batch to LLaVA's own recipe.

    ``batch``: examples an update, over all workers. ``warmup``: share of the steps. ``dtype``: of the frozen weights
    and of the arithmetic; "auto" is bfloat16 on a GPU that has it and float32 elsewhere.
    """

    rank: int = 128
    alpha: int = 256
    dropout: float = 0.05
    rate: float = 1e-4
    projector_rate: float = 2e-5
    freeze_projector: bool = False
    warmup: float = 0.03
    batch: int = 128
    micro_batch: int = 4
    max_tokens: int = 2048
    gradient_checkpointing: bool = False
    dtype: str = "auto"
    seed: int = 0


def load(folder: Path, dtype: str, device: torch.device) -> tuple[Model, Any]:
    """The base and its processor. ValueError names a kind of model for which no projector is known."""
    from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

    kind = AutoConfig.from_pretrained(folder).model_type
    if kind not in PROJECTORS:
        raise ValueError(f"{folder} is a {kind}; known are {', '.join(PROJECTORS)}")
    chosen = chosen_dtype(dtype, device)
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=chosen, local_files_only=True)
    return model.to(device), AutoProcessor.from_pretrained(folder, local_files_only=True)


def chosen_dtype(name: str, device: torch.device) -> torch.dtype:
    """The type a name stands for on the device; ValueError where there is none."""
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float32
    known = {"bfloat16": torch.bfloat16, "float32": torch.float32}
    if name not in known:
        raise ValueError(f"training in {name} is not supported: auto, {', '.join(known)}")
    return known[name]


def adapted(base: Model, recipe: Recipe) -> Model:
    """The base with a fresh adapter in every linear layer of its language model; what learns is in float32.

    The vision tower and everything else is frozen; the projector learns in full unless the recipe freezes it.
    """
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(recipe.seed)
    layers = {name.rpartition(".")[2] for name, m in base.named_modules() if _in_language(name, m)}
    config = LoraConfig(
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        lora_dropout=recipe.dropout,
        target_modules=rf"{re.escape(LANGUAGE)}\..*\.({'|'.join(sorted(layers))})",
        task_type="CAUSAL_LM",
    )
    model = get_peft_model(base, config)
    if not recipe.freeze_projector:
        for name in PROJECTORS[base.config.model_type]:
            base.get_submodule(name).float().requires_grad_(True)
    if recipe.gradient_checkpointing:
        base.gradient_checkpointing_enable({"use_reentrant": False})
        base.enable_input_require_grads()
    return model.train()


def _in_language(name: str, module: torch.nn.Module) -> bool:
    return isinstance(module, torch.nn.Linear) and name.startswith(f"{LANGUAGE}.")


def save_tuned(model: Model, folder: Path) -> None:
    """Write ``adapter/`` as peft and vLLM read it, and the projector beside it where it learned."""
    model.save_pretrained(folder / ADAPTER, save_embedding_layers=False)
    (folder / ADAPTER / "README.md").unlink(missing_ok=True)
    base = model.get_base_model()
    learned = {n: p.detach().cpu().contiguous() for n, p in base.named_parameters() if p.requires_grad}
    projector = {name: value for name, value in learned.items() if not name.startswith(f"{LANGUAGE}.")}
    (folder / PROJECTOR).unlink(missing_ok=True)
    if projector:
        save_file(projector, folder / PROJECTOR, metadata={"format": "pt"})


def rate_share(step: int, steps: int, warmup: float) -> float:
    """The share of the peak rate at a step: a straight rise over ``warmup`` of the steps, then a cosine to 0."""
    rise = max(1, math.ceil(warmup * steps))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


class Trainer:
    """An adapted model and its optimiser; one call of ``step`` is one update, the same on any number of workers."""

    def __init__(self, model: Model, recipe: Recipe, *, steps: int, rank: int = 0) -> None:
        self.model, self._recipe, self._steps, self._rank = model, recipe, steps, rank
        self._core = model.get_base_model()
        self.learning = {name: p for name, p in model.named_parameters() if p.requires_grad}
        pairs = [p for name, p in self.learning.items() if ".lora_" in name]
        full = [p for name, p in self.learning.items() if ".lora_" not in name]
        self._device = pairs[0].device
        groups = [{"params": pairs, "lr": recipe.rate}, {"params": full, "lr": recipe.projector_rate}]
        self._optimiser = torch.optim.AdamW([g for g in groups if g["params"]], weight_decay=0.0)
        self._peaks = [float(group["lr"]) for group in self._optimiser.param_groups]

    def state(self) -> dict[str, Any]:
        """All that ``load`` needs to go on: what learned, the optimiser, and the recipe they belong to."""
        learned = {name: parameter.detach() for name, parameter in self.learning.items()}
        return {"learned": learned, "optimiser": self._optimiser.state_dict(), "recipe": self._identity()}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from what ``state`` gave; ValueError names what the recipes differ in."""
        theirs, ours = (json.loads(each) for each in (state["recipe"], self._identity()))
        other = [name for name in ours if theirs.get(name) != ours[name]]
        if other:
            told = ", ".join(f"{name} {theirs.get(name)} then, {ours[name]} now" for name in other)
            raise ValueError(f"the run was begun with another recipe: {told}")
        with torch.no_grad():
            for name, parameter in self.learning.items():
                parameter.copy_(state["learned"][name])
        self._optimiser.load_state_dict(state["optimiser"])

    def _identity(self) -> str:
        return json.dumps({**asdict(self._recipe), "steps": self._steps})

    def step(self, number: int, batches: list[Inputs]) -> dict[str, float]:
        """One update from this worker's micro-batches: the mean loss of all workers' answer tokens, and the rate."""
        share = rate_share(number, self._steps, self._recipe.warmup)
        for group, peak in zip(self._optimiser.param_groups, self._peaks, strict=True):
            group["lr"] = peak * share
        torch.manual_seed(_seed(self._recipe.seed, number, self._rank))
        # A gradient for each parameter on each worker, also where a worker's share holds no picture.
        for parameter in self.learning.values():
            parameter.grad = torch.zeros_like(parameter)
        taught = sum(int((batch["labels"][:, 1:] != IGNORED).sum()) for batch in batches)
        tokens = self._over_workers(float(taught))
        total = 0.0
        for batch in batches:
            loss = self._loss(batch)
            (loss * (_workers() / max(1.0, tokens))).backward()
            total += loss.item()
        average_gradients(self.learning.values())
        torch.nn.utils.clip_grad_norm_(self.learning.values(), 1.0)
        self._optimiser.step()
        return {"loss": self._over_workers(total) / max(1.0, tokens), "rate": self._peaks[0] * share}

    def _loss(self, batch: Inputs) -> torch.Tensor:
        """The summed loss of the answers' tokens; scores are made for these alone, never for the whole prompt."""
        inputs = {name: value.to(self._device) for name, value in batch.items()}
        labels = inputs.pop("labels")[:, 1:]
        dtype = chosen_dtype(self._recipe.dtype, self._device)
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
            hidden = self._core.model(**inputs, use_cache=False).last_hidden_state[:, :-1]
            scores = self._core.lm_head(hidden[labels != IGNORED])
        return functional.cross_entropy(scores.float(), labels[labels != IGNORED], reduction="sum")

    def _over_workers(self, value: float) -> float:
        if _workers() == 1:
            return value
        shared = torch.tensor(value, dtype=torch.float64, device=self._device)
        distributed.all_reduce(shared)
        return float(shared)


def _workers() -> int:
    return distributed.get_world_size() if distributed.is_initialized() else 1


def _seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
