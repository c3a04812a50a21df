"""A small LLaVA in the form of the original code, and what that code answers: a reference independent of ours.

Its language model is transformers' Llama, its tower transformers' CLIP; everything between them is written out here.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer
from transformers import CLIPConfig, CLIPVisionConfig, CLIPVisionModel, LlamaConfig, LlamaForCausalLM

SIDE, PATCH, LAYER = 56, 14, -2
BOS, EOS = 1, 2
MEAN, DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)
TOWER_PREFIX = "model.vision_tower.vision_tower.vision_model."


@dataclass(frozen=True, eq=False)
class OriginalLlava:
    """The parts of a model with random weights. ``cut``: its SentencePiece model."""

    language: LlamaForCausalLM
    tower: CLIPVisionModel
    projector: torch.nn.Sequential
    cut: SentencePieceProcessor
    tokenizer_file: Path

    def weights(self, *, tower: bool = True) -> dict[str, torch.Tensor]:
        """The state dict as the original code names it."""
        named = dict(self.language.state_dict())
        named |= {f"model.mm_projector.{name}": value for name, value in self.projector.state_dict().items()}
        if tower:
            named |= {TOWER_PREFIX + name: value for name, value in self.tower.state_dict().items()}
        return named

    def config(self) -> dict[str, Any]:
        """What the original ``config.json`` says."""
        text = self.language.config
        kept = "hidden_size intermediate_size num_hidden_layers num_attention_heads num_key_value_heads vocab_size"
        return {name: getattr(text, name) for name in kept.split()} | {
            "architectures": ["LlavaLlamaForCausalLM"],
            "model_type": "llava_llama",
            "torch_dtype": "float32",
            "hidden_act": "silu",
            "rms_norm_eps": 1e-5,
            "max_position_embeddings": 1024,
            "rope_theta": 10000.0,
            "bos_token_id": BOS,
            "eos_token_id": EOS,
            "tie_word_embeddings": False,
            "mm_projector_type": "mlp2x_gelu",
            "mm_vision_select_layer": LAYER,
            "mm_vision_select_feature": "patch",
            "mm_vision_tower": "clip",
            "mm_use_im_start_end": False,
            "image_aspect_ratio": "pad",
            "mm_patch_merge_type": "flat",
        }

    def write(self, folder: Path, weights: Mapping[str, torch.Tensor], *, shards: int = 1, **changed: Any) -> Path:
        """A checkpoint folder with these weights, as one ``.safetensors`` or as several ``.bin``."""
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps({**self.config(), **changed}))
        write_tokenizer(folder, self.tokenizer_file)
        named = {name: value.clone() for name, value in weights.items()}
        if shards == 1:
            save_file(named, folder / "model.safetensors", metadata={"format": "pt"})
            return folder
        places = {name: f"pytorch_model-{i % shards + 1:05d}-of-{shards:05d}.bin" for i, name in enumerate(named)}
        for file in set(places.values()):
            torch.save({name: value for name, value in named.items() if places[name] == file}, folder / file)
        (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
        return folder

    def write_tower(self, folder: Path) -> Path:
        """The CLIP folder, as a whole CLIP is published, less its text half."""
        folder.mkdir(parents=True)
        CLIPConfig(vision_config=self.tower.config.to_dict()).save_pretrained(folder)
        prepared = {"crop_size": SIDE, "size": SIDE, "image_mean": MEAN, "image_std": DEVIATION, "resample": 3}
        prepared |= {"do_resize": True, "do_center_crop": True, "do_normalize": True}
        prepared |= {"feature_extractor_type": "CLIPFeatureExtractor"}
        (folder / "preprocessor_config.json").write_text(json.dumps(prepared))
        named = {f"vision_model.{name}": value.clone() for name, value in self.tower.state_dict().items()}
        save_file({**named, "logit_scale": torch.ones(1)}, folder / "model.safetensors", metadata={"format": "pt"})
        return folder

    def prompt_ids(self, question: str, image: int) -> list[int]:
        """The tokens of a first question, ``image`` for each picture."""
        ids = [BOS]
        for number, piece in enumerate(f"{SYSTEM} USER: {question} ASSISTANT:".split("<image>")):
            ids += ([image] if number else []) + self.cut.encode(piece)
        return ids

    @torch.inference_mode()
    def scores(self, ids: Sequence[int], pixels: torch.Tensor, image: int) -> torch.Tensor:
        """The scores of every token after the prompt: float32, (vocabulary,). ``pixels``: (pictures, 3, side, side)."""
        hidden = self.tower(pixels, output_hidden_states=True).hidden_states[LAYER][:, 1:]
        seen = iter(self.projector(hidden))
        table = self.language.get_input_embeddings()
        embedded = [next(seen) if each == image else table(torch.tensor([each])) for each in ids]
        return self.language(inputs_embeds=torch.cat(embedded)[None]).logits[0, -1]

    def answer(self, question: str, pictures: Sequence[Image.Image], *, tokens: int) -> list[int]:
        """The greedy answer's tokens, as many as asked or up to its end sign."""
        ids, image = self.prompt_ids(question, -1), -1
        pixels = torch.stack([pixels_of(picture) for picture in pictures])
        answered: list[int] = []
        while len(answered) < tokens and EOS not in answered:
            answered.append(int(self.scores([*ids, *answered], pixels, image).argmax()))
        return answered


def pixels_of(picture: Image.Image) -> torch.Tensor:
    """float32, (3, side, side): on a square of the mean colour, then resized, then normalised."""
    side = max(picture.size)
    square = Image.new("RGB", (side, side), tuple(int(each * 255) for each in MEAN))
    square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    small = np.asarray(square.resize((SIDE, SIDE), Image.Resampling.BICUBIC), np.float32) / 255
    return torch.from_numpy((small - np.float32(MEAN)) / np.float32(DEVIATION)).permute(2, 0, 1)


def random_llava(folder: Path, seed: int = 0) -> OriginalLlava:
    """A model with random weights, large enough that its answers differ from question to question."""
    torch.manual_seed(seed)
    cut, file = _sentencepiece(folder)
    language = LlamaConfig(
        vocab_size=cut.vocab_size(),
        hidden_size=128,
        intermediate_size=192,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        rms_norm_eps=1e-5,
        max_position_embeddings=1024,
        initializer_range=0.15,
    )
    vision = CLIPVisionConfig(
        hidden_size=128,
        intermediate_size=128,
        num_hidden_layers=3,
        num_attention_heads=2,
        image_size=SIDE,
        patch_size=PATCH,
        initializer_factor=3.0,
    )
    projector = torch.nn.Sequential(torch.nn.Linear(128, 128), torch.nn.GELU(), torch.nn.Linear(128, 128))
    return OriginalLlava(LlamaForCausalLM(language).eval(), CLIPVisionModel(vision).eval(), projector.eval(), cut, file)


def _sentencepiece(folder: Path) -> tuple[SentencePieceProcessor, Path]:
    """A tokenizer made as Llama's was: byte fallback, single digits, spaces kept."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [SYSTEM, "USER: What is this? ASSISTANT: This is <bo>, a brown dog.", "[1. Name: <mug2>, Info: a blue mug]"]
    (folder / "corpus.txt").write_text("\n".join(lines * 20))
    SentencePieceTrainer.train(
        input=str(folder / "corpus.txt"),
        model_prefix=str(folder / "tokenizer"),
        model_type="bpe",
        vocab_size=400,
        hard_vocab_limit=False,
        byte_fallback=True,
        split_digits=True,
        remove_extra_whitespaces=False,
        normalization_rule_name="identity",
        minloglevel=2,
    )
    return SentencePieceProcessor(model_file=str(folder / "tokenizer.model")), folder / "tokenizer.model"


def write_tokenizer(folder: Path, model: Path) -> None:
    """The tokenizer's files as Vicuna ships them."""
    (folder / "tokenizer.model").write_bytes(model.read_bytes())
    told = {"tokenizer_class": "LlamaTokenizer", "legacy": False, "add_bos_token": True, "add_eos_token": False}
    told |= {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps({**told, "model_max_length": 1024}))
