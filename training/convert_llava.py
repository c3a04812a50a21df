"""Turn a checkpoint of the original LLaVA code, such as RAP-LLaVA, into the folder that vLLM and transformers load.

    python -m training.convert_llava SOURCE OUT --vision-tower CLIP
    python -m training.convert_llava ADAPTER OUT --base BASE --vision-tower CLIP

SOURCE holds ``config.json``, ``tokenizer.model`` and weights named ``model.layers.N...`` in shards. The second form
is for what the original code calls a LoRA checkpoint: an adapter and ``non_lora_trainables.bin`` over a base. CLIP is
the folder of the tower that ``mm_vision_tower`` names: its configuration, its preprocessing, and its weights where
the checkpoint has none of its own. One shard at a time is in memory. No tensor is dropped but those listed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm
from transformers import CLIPVisionConfig, GenerationConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from training.convert_llava_processor import IMAGE, build_processor, read_tokenizer
from training.lora_merge import Delta, read_deltas
from training.lora_shards import SHARD_BYTES, ShardWriter, draft_of, read_file, read_json, read_tensors, some_of

_NAMES = (
    ("model.layers.", "language_model.model.layers."),
    ("model.embed_tokens.", "language_model.model.embed_tokens."),
    ("model.norm.", "language_model.model.norm."),
    ("lm_head.", "language_model.lm_head."),
    ("model.mm_projector.0.", "multi_modal_projector.linear_1."),
    ("model.mm_projector.2.", "multi_modal_projector.linear_2."),
    ("model.vision_tower.vision_tower.vision_model.", "vision_tower.vision_model."),
    ("model.vision_tower.vision_tower.", "vision_tower.vision_model."),
)
_TOWER = "vision_tower.vision_model."
_GROWN = ("language_model.model.embed_tokens.weight", "language_model.lm_head.weight")
_RECOMPUTED = (".rotary_emb.inv_freq", ".embeddings.position_ids")
"""Buffers that older versions stored and newer ones compute."""

_TEXT_FIELDS = (
    *("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads"),
    *("hidden_act", "rms_norm_eps", "max_position_embeddings", "rope_theta", "rope_scaling", "attention_bias"),
    *("tie_word_embeddings", "bos_token_id", "eos_token_id"),
)
_DEMANDED: Mapping[str, tuple[Any, ...]] = {
    "model_type": ("llava", "llava_llama"),
    "mm_projector_type": ("mlp2x_gelu",),
    "mm_use_im_start_end": (None, False),
    "mm_patch_merge_type": (None, "flat"),
    "image_aspect_ratio": (None, "pad", "square"),
    "mm_vision_select_feature": (None, "patch", "cls_patch"),
}
"""Settings of the original and the values that have a counterpart in the new form."""


@dataclass(slots=True)
class Converted:
    """What was done. ``left_out``: names that were recomputed or are of no use; ``tower``: whose weights it has."""

    tensors: int = 0
    adapted: int = 0
    tower: str = "the checkpoint's own"
    left_out: list[str] = field(default_factory=list)


def convert(
    source: Path,
    out: Path,
    *,
    tower: Path,
    base: Path | None = None,
    dtype: torch.dtype | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> Converted:
    """Write ``out``, a folder that is not there yet. ``dtype``: None as the checkpoint's configuration says.

    ValueError names the setting, or the tensors that are missing, unexpected or of another shape; then nothing is
    left behind. FileNotFoundError names what a folder lacks.
    """
    original = read_json(source / "config.json")
    _demand_supported(original, source / "config.json")
    dtype = dtype or getattr(torch, str(original.get("torch_dtype") or original.get("dtype") or "float16"))
    tokenizer = read_tokenizer(source if (source / "tokenizer_config.json").exists() else base or source)
    done = Converted()
    with draft_of(out) as draft:
        config = build_config(original, CLIPVisionConfig.from_pretrained(tower), tokenizer)
        build_processor(tokenizer, tower, config, pad=original.get("image_aspect_ratio") == "pad").save_pretrained(
            draft
        )
        writer = ShardWriter(draft, shard_bytes=shard_bytes)
        for name, value in _tensors(source, base, tower, done):
            whole = _grown(value, len(tokenizer)) if name in _GROWN else value
            writer.add(name, whole.to(dtype) if whole.is_floating_point() else whole)
        config.text_config.vocab_size = writer.shapes.get(_GROWN[0], (len(tokenizer),))[0]
        _demand_complete(writer.shapes, config)
        writer.close()
        _write_configs(draft, config, dtype)
    done.tensors = len(writer.shapes)
    return done


def _demand_supported(config: Mapping[str, Any], file: Path) -> None:
    for name, allowed in _DEMANDED.items():
        if config.get(name) not in allowed:
            told = " or ".join("absent" if value is None else str(value) for value in allowed)
            raise ValueError(f"{file}: {name} is {config.get(name)}, supported is {told}")


def build_config(original: Mapping[str, Any], vision: CLIPVisionConfig, tokenizer: Any) -> LlavaConfig:
    """The new form's configuration; the vocabulary's size is set once the weights are known."""
    text = LlamaConfig(
        **{name: original[name] for name in _TEXT_FIELDS if original.get(name) is not None},
        pad_token_id=tokenizer.pad_token_id,
    )
    whole = original.get("mm_vision_select_feature") == "cls_patch"
    return LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
        image_seq_length=(vision.image_size // vision.patch_size) ** 2 + int(whole),
        projector_hidden_act="gelu",
        vision_feature_layer=int(original.get("mm_vision_select_layer", -2)),
        vision_feature_select_strategy="full" if whole else "default",
        tie_word_embeddings=text.tie_word_embeddings,
        pad_token_id=tokenizer.pad_token_id,
    )


def _tensors(source: Path, base: Path | None, tower: Path, done: Converted) -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor of the result by its new name: adapted, and with a tower's where there is none."""
    deltas = read_deltas(source) if base else {}
    extra = _trained_beside(source) if base else {}
    done.adapted = len(deltas)
    has_tower = False
    for name, value in tqdm(_original(base or source, extra), desc="converting", unit=" tensors"):
        if name.endswith(_RECOMPUTED):
            done.left_out.append(name)
            continue
        renamed = new_name(name)
        has_tower = has_tower or renamed.startswith(_TOWER)
        yield renamed, _adapted(name, value, deltas)
    if deltas:
        raise ValueError(f"the base has no place for the adapter's {some_of(sorted(deltas))}")
    if not has_tower:
        done.tower = str(tower)
        yield from _tower(tower, done)


def _original(folder: Path, extra: dict[str, torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:
    """The folder's tensors, those of ``extra`` instead of its own where both have one."""
    for name, value in read_tensors(folder):
        if name not in extra:
            yield name, value
    yield from extra.items()


def _trained_beside(adapter: Path) -> dict[str, torch.Tensor]:
    file = adapter / "non_lora_trainables.bin"
    if not file.exists():
        raise FileNotFoundError(f"{file} is missing: with --base, it holds the projector that goes with the adapter")
    return {name.removeprefix("base_model.model."): value for name, value in read_file(file)}


def _adapted(name: str, value: torch.Tensor, deltas: dict[str, Delta]) -> torch.Tensor:
    delta = deltas.pop(name.removesuffix(".weight"), None)
    return value if delta is None else delta.added_to(value)


def new_name(original: str) -> str:
    """The name that vLLM reads; ValueError where the original has no counterpart."""
    for old, new in _NAMES:
        if original.startswith(old):
            return new + original.removeprefix(old)
    raise ValueError(
        f"unexpected tensor {original}: no LLaVA of a Llama, a two-layer projector and a CLIP tower has it"
    )


def _tower(folder: Path, done: Converted) -> Iterator[tuple[str, torch.Tensor]]:
    """A CLIP folder's vision tower. What else a whole CLIP holds is listed as left out."""
    beginnings = ("embeddings.", "encoder.", "pre_layrnorm.", "post_layernorm.")
    for name, value in read_tensors(folder):
        inner = name.removeprefix("vision_model.")
        if inner.startswith(beginnings) and not name.endswith(_RECOMPUTED):
            yield _TOWER + inner, value
        else:
            done.left_out.append(name)


def _grown(weight: torch.Tensor, rows: int) -> torch.Tensor:
    """At least ``rows`` rows. The new ones are the mean of the others, whose score is never the highest."""
    missing = rows - weight.shape[0]
    if missing <= 0:
        return weight
    mean = weight.float().mean(0, keepdim=True).to(weight.dtype)
    return torch.cat([weight, mean.expand(missing, -1)])


def _demand_complete(shapes: Mapping[str, tuple[int, ...]], config: LlavaConfig) -> None:
    """ValueError where the tensors are not exactly those of the architecture."""
    expected = expected_shapes(config)
    wrong = [
        f"{n} is {shapes[n]}, not {expected[n]}" for n in sorted(shapes) if shapes[n] != expected.get(n, shapes[n])
    ]
    faults = {
        "missing": sorted(expected.keys() - shapes.keys()),
        "unexpected": sorted(shapes.keys() - expected.keys()),
        "of another shape": wrong,
    }
    told = [f"{kind}: {some_of(names)}" for kind, names in faults.items() if names]
    if told:
        raise ValueError("these weights are not the model that config.json describes. " + "; ".join(told))


def expected_shapes(config: LlavaConfig) -> dict[str, tuple[int, ...]]:
    """Of every tensor of the architecture, under the names that vLLM reads."""
    names = {
        "model.language_model.": "language_model.model.",
        "model.vision_tower.": _TOWER,
        "model.multi_modal_projector.": "multi_modal_projector.",
        "lm_head.": "language_model.lm_head.",
    }
    with torch.device("meta"):
        empty = LlavaForConditionalGeneration(config)
    shapes = {}
    for name, value in empty.state_dict().items():
        old = next(prefix for prefix in names if name.startswith(prefix))
        if not (old == "lm_head." and config.text_config.tie_word_embeddings):
            shapes[names[old] + name.removeprefix(old)] = tuple(value.shape)
    return shapes


def _write_configs(folder: Path, config: LlavaConfig, dtype: torch.dtype) -> None:
    """The configuration, and a generation that is greedy unless a request says otherwise."""
    config.save_pretrained(folder)
    content = read_json(folder / "config.json")
    content |= {"architectures": ["LlavaForConditionalGeneration"], "dtype": str(dtype).removeprefix("torch.")}
    (folder / "config.json").write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
    text = config.text_config
    GenerationConfig(
        do_sample=False,
        bos_token_id=text.bos_token_id,
        eos_token_id=text.eos_token_id,
        pad_token_id=text.pad_token_id,
    ).save_pretrained(folder)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="folder of the original checkpoint, or of its adapter with --base")
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument(
        "--vision-tower", type=Path, required=True, help="folder of the CLIP that mm_vision_tower names"
    )
    parser.add_argument("--base", type=Path, help="folder of the checkpoint that an adapter was trained over")
    parser.add_argument("--dtype", choices=("auto", "float16", "bfloat16", "float32"), default="auto")
    options = parser.parse_args()
    dtype = None if options.dtype == "auto" else getattr(torch, options.dtype)
    try:
        done = convert(options.source, options.out, tower=options.vision_tower, base=options.base, dtype=dtype)
    except (ValueError, OSError) as problem:
        raise SystemExit(f"convert_llava: {problem}") from problem
    print(f"{options.out}: {done.tensors} tensors, {done.adapted} of them adapted; vision tower: {done.tower}")
    if done.left_out:
        print(f"left out, as recomputed or not part of it: {some_of(done.left_out)}")


if __name__ == "__main__":
    main()
