"""What goes before the weights of a converted LLaVA: tokenizer, chat template, pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sentencepiece import SentencePieceProcessor
from tokenizers import Tokenizer
from transformers import (
    AutoTokenizer,
    CLIPImageProcessor,
    LlavaConfig,
    LlavaImageProcessor,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

IMAGE = "<image>"
SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)
"""What Vicuna, and so LLaVA 1.5, was trained with; a system message of the request takes its place."""

CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{%- set cut = namespace(here=false) -%}"
    "{%- if not messages or messages[0].role != 'system' -%}{{ ' ' + " + json.dumps(SYSTEM) + " + ' ' }}{%- endif -%}"
    "{%- for message in messages -%}"
    "{%- if loop.first and message.role == 'system' -%}{{ ' ' }}"
    "{%- elif message.role == 'assistant' -%}{{ 'ASSISTANT: ' }}{%- else -%}{{ 'USER: ' }}{%- endif -%}"
    "{%- if message.content is string -%}{{ message.content }}"
    "{%- else -%}{%- for part in message.content -%}"
    "{%- if part.type != 'text' -%}{{ '" + IMAGE + "' }}{%- set cut.here = true -%}"
    "{%- elif part.text -%}"
    "{%- if cut.here -%}{{ ' ' }}{%- endif -%}{{ part.text }}{%- set cut.here = false -%}"
    "{%- endif -%}"
    "{%- endfor -%}{%- endif -%}"
    "{%- if cut.here -%}{{ ' ' }}{%- set cut.here = false -%}{%- endif -%}"
    "{%- if message.role == 'assistant' -%}{{ eos_token }}{%- else -%}{{ ' ' }}{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ 'ASSISTANT:' }}{%- endif -%}"
)
"""The original cuts a prompt at its pictures and gives each piece to SentencePiece, which puts a space before it.

Here the whole prompt is cut at once, so that space, after the first token and after each picture, is written.
"""


def read_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The folder's tokenizer with ``<image>`` as one token more, after all others.

    ValueError where it cuts a prompt into other tokens than the original code did.
    """
    read = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    if IMAGE in read.get_vocab():
        raise ValueError(f"{folder}: the tokenizer has {IMAGE} already")
    backend = json.loads(read.backend_tokenizer.to_str())
    # The template writes the first token. An engine that has the tokenizer add it too would give the model two.
    backend["post_processor"] = None
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(backend)),
        bos_token=read.bos_token,
        eos_token=read.eos_token,
        unk_token=read.unk_token,
        pad_token=read.pad_token or read.unk_token,
        model_max_length=read.model_max_length,
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )
    tokenizer.add_special_tokens({"additional_special_tokens": [IMAGE]})
    tokenizer.chat_template = CHAT_TEMPLATE
    if (folder / "tokenizer.model").exists():
        _demand_original_tokens(tokenizer, folder / "tokenizer.model")
    return tokenizer


def _demand_original_tokens(tokenizer: PreTrainedTokenizerFast, model: Path) -> None:
    """Compares a prompt of two pictures with SentencePiece's own tokens of its pieces."""
    asked = [f"{IMAGE}\n[1.{IMAGE}\n Name: <bo>, Info: Bo's 2nd mug;  it is blue.]\nWhat is this?"]
    parts = [{"type": "image"}, {"type": "text", "text": "\n[1."}, {"type": "image"}]
    parts.append({"type": "text", "text": asked[0].rpartition(IMAGE)[2]})
    ours = tokenizer.apply_chat_template([{"role": "user", "content": parts}], add_generation_prompt=True)
    cut = SentencePieceProcessor(model_file=str(model))
    theirs = [tokenizer.bos_token_id]
    for number, piece in enumerate(f"{SYSTEM} USER: {asked[0]} ASSISTANT:".split(IMAGE)):
        theirs += ([tokenizer.convert_tokens_to_ids(IMAGE)] if number else []) + cut.encode(piece)
    if list(ours["input_ids"]) != theirs:
        raise ValueError(f"{model.parent}: the tokenizer gives other tokens than its {model.name}")


def build_processor(tokenizer: PreTrainedTokenizerFast, tower: Path, config: LlavaConfig, *, pad: bool) -> Any:
    """Pictures as the tower's preprocessor takes them, each first made square with a border where ``pad``."""
    if not (tower / "preprocessor_config.json").exists():
        raise FileNotFoundError(f"{tower} holds no preprocessor_config.json: how its pictures are prepared is unknown")
    clip = CLIPImageProcessor.from_pretrained(tower, local_files_only=True).to_dict()
    kept = (
        "size crop_size do_resize do_center_crop do_rescale do_normalize rescale_factor resample image_mean image_std"
    )
    return LlavaProcessor(
        image_processor=LlavaImageProcessor(**{k: clip[k] for k in kept.split()}, do_convert_rgb=True, do_pad=pad),
        tokenizer=tokenizer,
        patch_size=config.vision_config.patch_size,
        vision_feature_select_strategy=config.vision_feature_select_strategy,
        num_additional_image_tokens=1,
        chat_template=CHAT_TEMPLATE,
    )
