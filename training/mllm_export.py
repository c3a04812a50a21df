"""The tiny MLLM as an architecture, its tokenizer, and the Hugging Face folder that vLLM loads."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    GenerationConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

PAD, BOS, EOS, IMAGE = "<pad>", "<s>", "</s>", "<image>"
SPECIALS = (PAD, BOS, EOS, IMAGE)
VOCABULARY = 2048
CONTEXT = 2048
TOKENS_PER_PICTURE = 37
"""36 patches and the class token, out of the last layer, whose class token says most about what a picture shows."""

STAND_IN: dict[str, Any] = {
    "embed_dim": 512,
    "vision_cfg": {"image_size": 96, "patch_size": 16, "width": 64, "layers": 1},
}
"""A tower's shape for a model that does not see yet."""

_PIECES = r"\n| ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]|\s"
"""A word, one digit or one sign, each with the space before it: a name is cut the same way wherever it stands."""

CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{%- for message in messages -%}"
    "{%- if message.role == 'user' -%}{{ 'USER:\n' }}"
    "{%- elif message.role == 'assistant' -%}{{ 'ASSISTANT:\n' }}"
    "{%- else -%}{{ 'SYSTEM:\n' }}{%- endif -%}"
    "{%- if message.content is string -%}{{ message.content }}"
    "{%- else -%}{%- for part in message.content -%}"
    "{%- if part.type == 'text' -%}{{ part.text }}{%- else -%}{{ '<image>' }}{%- endif -%}"
    "{%- endfor -%}{%- endif -%}"
    "{%- if message.role == 'assistant' -%}{{ eos_token }}{%- else -%}{{ '\n' }}{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ 'ASSISTANT:\n' }}{%- endif -%}"
)


def build_tokenizer(corpus: Iterable[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE over the corpus; any string comes back as it was."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIALS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(corpus, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        additional_special_tokens=[IMAGE],
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def build_model(embedder: dict[str, Any], *, layers: int = 6) -> LlavaForConditionalGeneration:
    """An untrained LLaVA around a tower of the embedder's shape. ``embedder``: an open_clip ``model_cfg``."""
    vision = embedder["vision_cfg"]
    tower = CLIPVisionConfig(
        hidden_size=vision["width"],
        intermediate_size=int(vision["width"] * vision.get("mlp_ratio", 4.0)),
        num_hidden_layers=vision["layers"],
        num_attention_heads=vision["width"] // vision.get("head_width", 64),
        image_size=vision["image_size"],
        patch_size=vision["patch_size"],
        projection_dim=embedder["embed_dim"],
        hidden_act="gelu",
    )
    language = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=640,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        attention_bias=True,
        rope_parameters={"rope_type": "default", "rope_theta": 1_000_000.0},
        initializer_range=0.03,
        pad_token_id=SPECIALS.index(PAD),
        bos_token_id=SPECIALS.index(BOS),
        eos_token_id=SPECIALS.index(EOS),
    )
    config = LlavaConfig(
        vision_config=tower,
        text_config=language,
        image_token_index=SPECIALS.index(IMAGE),
        image_seq_length=TOKENS_PER_PICTURE,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        tie_word_embeddings=True,
        pad_token_id=SPECIALS.index(PAD),
        bos_token_id=SPECIALS.index(BOS),
        eos_token_id=SPECIALS.index(EOS),
    )
    return LlavaForConditionalGeneration(config)


def read_embedder(folder: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """The folder's configuration and its weights in float32."""
    config: dict[str, Any] = json.loads((folder / "open_clip_config.json").read_text())
    weights = load_file(folder / "open_clip_model.safetensors")
    return config, {name: value.float() for name, value in weights.items()}


def tower_weights(clip: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """An open_clip ViT's weights under the names of transformers' ``CLIPVisionModel``."""
    renamed = {
        "embeddings.class_embedding": clip["visual.class_embedding"],
        "embeddings.position_embedding.weight": clip["visual.positional_embedding"],
        "embeddings.patch_embedding.weight": clip["visual.conv1.weight"],
    }
    norms = {"pre_layrnorm": "visual.ln_pre", "post_layernorm": "visual.ln_post"}
    layers = 1 + max(int(name.split(".")[3]) for name in clip if name.startswith("visual.transformer.resblocks."))
    for i in range(layers):
        ours, theirs = f"encoder.layers.{i}", f"visual.transformer.resblocks.{i}"
        norms |= {
            f"{ours}.layer_norm1": f"{theirs}.ln_1",
            f"{ours}.layer_norm2": f"{theirs}.ln_2",
            f"{ours}.mlp.fc1": f"{theirs}.mlp.c_fc",
            f"{ours}.mlp.fc2": f"{theirs}.mlp.c_proj",
            f"{ours}.self_attn.out_proj": f"{theirs}.attn.out_proj",
        }
        for kind in ("weight", "bias"):
            parts = clip[f"{theirs}.attn.in_proj_{kind}"].chunk(3)
            renamed |= {f"{ours}.self_attn.{p}_proj.{kind}": v for p, v in zip("qkv", parts, strict=True)}
    for ours, theirs in norms.items():
        renamed |= {f"{ours}.{kind}": clip[f"{theirs}.{kind}"] for kind in ("weight", "bias")}
    return renamed


def image_processor(embedder: dict[str, Any]) -> CLIPImageProcessor:
    """The embedder's own preprocessing: squashed to its side, its mean and deviation."""
    side = embedder["model_cfg"]["vision_cfg"]["image_size"]
    preprocess = embedder["preprocess_cfg"]
    return CLIPImageProcessor(
        size={"height": side, "width": side},
        crop_size={"height": side, "width": side},
        do_center_crop=False,
        do_convert_rgb=True,
        resample=3,
        image_mean=list(preprocess["mean"]),
        image_std=list(preprocess["std"]),
    )


def export(
    model: LlavaForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, embedder: dict[str, Any], out: Path
) -> None:
    """Write the folder; each file appears whole or not at all. The weights are float16."""
    draft = out.parent / f".{out.name}-draft"
    draft.mkdir(parents=True, exist_ok=True)
    out.mkdir(parents=True, exist_ok=True)
    LlavaProcessor(
        image_processor=image_processor(embedder),
        tokenizer=tokenizer,
        patch_size=embedder["model_cfg"]["vision_cfg"]["patch_size"],
        vision_feature_select_strategy="full",
        num_additional_image_tokens=1,
        chat_template=CHAT_TEMPLATE,
    ).save_pretrained(draft)
    model.config.save_pretrained(draft)
    config = json.loads((draft / "config.json").read_text())
    config |= {"architectures": ["LlavaForConditionalGeneration"], "dtype": "float16"}
    (draft / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    GenerationConfig(
        do_sample=False,
        bos_token_id=SPECIALS.index(BOS),
        eos_token_id=SPECIALS.index(EOS),
        pad_token_id=SPECIALS.index(PAD),
    ).save_pretrained(draft)
    save_file(_checkpoint(model), draft / "model.safetensors", metadata={"format": "pt"})
    (draft / "model.safetensors").chmod(0o644)
    for path in sorted(draft.iterdir()):
        path.replace(out / path.name)
    draft.rmdir()


def _checkpoint(model: LlavaForConditionalGeneration) -> dict[str, torch.Tensor]:
    """float16 weights under the names that vLLM and transformers both read."""
    names = {
        "model.language_model.": "language_model.model.",
        "model.vision_tower.": "vision_tower.vision_model.",
        "model.multi_modal_projector.": "multi_modal_projector.",
    }
    weights = {}
    for name, value in model.state_dict().items():
        old = next((prefix for prefix in names if name.startswith(prefix)), None)
        if old:
            weights[names[old] + name.removeprefix(old)] = value.detach().half().contiguous()
    return weights
