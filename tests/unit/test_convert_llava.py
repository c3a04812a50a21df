"""Checkpoints of the original LLaVA code in the form that vLLM and transformers load."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import AutoProcessor, LlavaForConditionalGeneration

from tests.original_llava import TOWER_PREFIX, OriginalLlava, pixels_of, random_llava
from training.convert_llava import convert

QUESTION = "<image>\n[1.<image>\n Name: <bo>, Info: Bo's mug;  it is blue 猫.]\nWhat is this?"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> OriginalLlava:
    """A model under the original names."""
    return random_llava(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def tower(original: OriginalLlava, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of its CLIP."""
    return original.write_tower(tmp_path_factory.mktemp("clip") / "clip")


@pytest.fixture(scope="module")
def converted(original: OriginalLlava, tower: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model converted from one file."""
    folder = tmp_path_factory.mktemp("converted")
    convert(original.write(folder / "original", original.weights()), folder / "new", tower=tower)
    return folder / "new"


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    """A wide and a high picture."""
    rng = np.random.default_rng(0)
    small = [Image.fromarray(rng.integers(0, 256, shape, np.uint8)) for shape in ((40, 70, 3), (90, 61, 3))]
    return [picture.resize((picture.width * 3, picture.height * 3)) for picture in small]


def chat(question: str) -> list[dict[str, Any]]:
    """A first question as chat clients send it, pictures apart."""
    pieces = question.split("<image>")
    parts: list[dict[str, str]] = []
    for number, piece in enumerate(pieces):
        parts += ([{"type": "image"}] if number else []) + ([{"type": "text", "text": piece}] if piece else [])
    return [{"role": "user", "content": parts}]


def test_the_scores_are_those_of_the_original_code(
    original: OriginalLlava, converted: Path, pictures: list[Image.Image]
) -> None:
    """Same tokens, same pictures, same scores, within rounding."""
    processor = AutoProcessor.from_pretrained(converted)
    model = LlavaForConditionalGeneration.from_pretrained(converted, dtype=torch.float32).eval()
    text = processor.apply_chat_template(chat(QUESTION), add_generation_prompt=True)
    inputs = processor(text=text, images=pictures, add_special_tokens=False, return_tensors="pt")
    pixels = torch.stack([pixels_of(picture) for picture in pictures])
    with torch.inference_mode():
        ours = model(**{**inputs, "pixel_values": pixels}).logits[0, -1]
    theirs = original.scores(original.prompt_ids(QUESTION, -1), pixels, -1)
    assert torch.allclose(ours[: len(theirs)], theirs, atol=1e-3)
    assert ours.argmax() == theirs.argmax()


def test_pictures_are_prepared_as_the_original_prepares_them(converted: Path, pictures: list[Image.Image]) -> None:
    """Made square on the mean colour; the resizing of another library rounds by a step of 255 at most."""
    prepared = AutoProcessor.from_pretrained(converted).image_processor(pictures, return_tensors="pt").pixel_values
    expected = torch.stack([pixels_of(picture) for picture in pictures])
    assert (prepared - expected).abs().max() * 0.2613 * 255 < 1.5


def test_a_prompt_is_cut_into_the_tokens_of_the_original(original: OriginalLlava, converted: Path) -> None:
    """Each piece between pictures as SentencePiece alone cuts it."""
    tokenizer = AutoProcessor.from_pretrained(converted).tokenizer
    image = tokenizer.convert_tokens_to_ids("<image>")
    for question in (QUESTION, "What is this?", "<image>", " two  spaces <image> a<image><image>b"):
        ours = tokenizer.apply_chat_template(chat(question), add_generation_prompt=True)["input_ids"]
        assert ours == original.prompt_ids(question, image)


def test_the_first_token_comes_once_whoever_cuts_the_prompt(converted: Path) -> None:
    """Also where an engine lets the tokenizer add its special tokens to what the template wrote."""
    tokenizer = AutoProcessor.from_pretrained(converted).tokenizer
    written = tokenizer.apply_chat_template(chat("Who?"), add_generation_prompt=True, tokenize=False)
    assert tokenizer(written).input_ids.count(tokenizer.bos_token_id) == 1
    assert tokenizer(written).input_ids == tokenizer(written, add_special_tokens=False).input_ids


def test_an_answer_in_the_history_stands_as_it_was_generated(original: OriginalLlava, converted: Path) -> None:
    """The second question continues the tokens of the first and of its answer."""
    tokenizer = AutoProcessor.from_pretrained(converted).tokenizer
    said = [*chat("Who?"), {"role": "assistant", "content": "This is <bo>."}, *chat("Where?")]
    ids = tokenizer.apply_chat_template(said, add_generation_prompt=True)["input_ids"]
    told = [*original.prompt_ids("Who?", -1), *original.cut.encode("This is <bo>."), 2]
    assert ids[: len(told)] == told


def test_shards_and_a_tower_of_its_own_folder_give_the_same_weights(
    original: OriginalLlava, tower: Path, converted: Path, tmp_path: Path
) -> None:
    """Pickled shards, buffers of older versions among them, and the tower's weights from its CLIP."""
    buffers = {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(2)}
    source = original.write(tmp_path / "original", original.weights(tower=False) | buffers, shards=3)
    done = convert(source, tmp_path / "new", tower=tower)
    ours, expected = (load_file(folder / "model.safetensors") for folder in (tmp_path / "new", converted))
    assert ours.keys() == expected.keys()
    assert all(torch.equal(ours[name], expected[name]) for name in ours)
    assert set(done.left_out) == {*buffers, "logit_scale"}


def test_the_image_token_can_never_be_the_answer(original: OriginalLlava, converted: Path) -> None:
    """Its score is the mean of all others, so a greedy answer is the original's."""
    weights = load_file(converted / "model.safetensors")
    grown = weights["language_model.lm_head.weight"]
    before = original.weights()["lm_head.weight"]
    assert torch.equal(grown[:-1], before)
    assert torch.allclose(grown[-1], before.mean(0), atol=1e-6)


def test_an_adapter_is_added_to_its_base(original: OriginalLlava, tower: Path, tmp_path: Path) -> None:
    """Every adapted matrix gets its product, the projector is the one that was trained beside it."""
    base = original.write(tmp_path / "base", original.weights(tower=False))
    adapter = write_adapter(original, tmp_path / "adapter", "model.layers.1.mlp.up_proj")
    done = convert(adapter, tmp_path / "new", tower=tower, base=base)
    ours = load_file(tmp_path / "new" / "model.safetensors")
    pair = load_file(adapter / "adapter_model.safetensors")
    down, up = (pair[f"base_model.model.model.layers.1.mlp.up_proj.lora_{half}.weight"] for half in "AB")
    expected = original.weights()["model.layers.1.mlp.up_proj.weight"] + 2.0 * up @ down
    assert done.adapted == 1
    assert torch.allclose(ours["language_model.model.layers.1.mlp.up_proj.weight"], expected, atol=1e-6)
    assert torch.equal(ours["multi_modal_projector.linear_1.bias"], torch.full((128,), 7.0))


def write_adapter(original: OriginalLlava, folder: Path, module: str) -> Path:
    """A LoRA checkpoint of the original code: rank 4, alpha 8, a projector whose first bias is 7."""
    folder.mkdir()
    original.write(folder / "whole", {"x": torch.zeros(1)})
    for file in ("config.json", "tokenizer.model", "tokenizer_config.json"):
        (folder / "whole" / file).rename(folder / file)
    torch.manual_seed(1)
    outputs, inputs = original.weights()["model.layers.1.mlp.up_proj.weight"].shape
    pair = {"A": torch.randn(4, inputs), "B": torch.randn(outputs, 4)}
    named = {f"base_model.model.{module}.lora_{half}.weight": value for half, value in pair.items()}
    save_file(named, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({"r": 4, "lora_alpha": 8, "peft_type": "LORA"}))
    projector = {k: v for k, v in original.weights().items() if "mm_projector" in k}
    projector["model.mm_projector.0.bias"] = torch.full((128,), 7.0)
    torch.save({f"base_model.model.{k}": v for k, v in projector.items()}, folder / "non_lora_trainables.bin")
    return folder


def test_an_adapter_that_does_not_fit_its_base_is_refused(original: OriginalLlava, tower: Path, tmp_path: Path) -> None:
    """Nothing of it is dropped silently."""
    base = original.write(tmp_path / "base", original.weights(tower=False))
    adapter = write_adapter(original, tmp_path / "adapter", "model.layers.9.mlp.up_proj")
    with pytest.raises(ValueError, match=r"no place for the adapter's model\.layers\.9\.mlp\.up_proj"):
        convert(adapter, tmp_path / "new", tower=tower, base=base)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"lm_head.weight": None}, "missing: language_model.lm_head.weight"),
        ({TOWER_PREFIX + "pre_layrnorm.bias": None}, "missing: vision_tower.vision_model.pre_layrnorm.bias"),
        ({"model.image_newline": torch.zeros(4)}, "unexpected tensor model.image_newline"),
        ({"model.layers.7.mlp.up_proj.weight": torch.zeros(4)}, "unexpected: language_model.model.layers.7"),
        ({"model.norm.weight": torch.zeros(5)}, r"another shape: language_model.model.norm.weight is \(5,\)"),
    ],
)
def test_weights_that_are_not_the_model_are_named(
    original: OriginalLlava, tower: Path, tmp_path: Path, change: dict[str, torch.Tensor | None], told: str
) -> None:
    """A missing, an unexpected or a misshapen tensor stops the conversion, and nothing is left behind."""
    weights = {k: v for k, v in (original.weights() | change).items() if v is not None}
    source = original.write(tmp_path / "original", weights)
    with pytest.raises(ValueError, match=told):
        convert(source, tmp_path / "new", tower=tower)
    assert [path.name for path in tmp_path.iterdir()] == ["original"]


@pytest.mark.parametrize(
    "setting",
    [{"image_aspect_ratio": "anyres"}, {"mm_projector_type": "linear"}, {"mm_use_im_start_end": True}],
)
def test_a_setting_without_a_counterpart_is_refused(
    original: OriginalLlava, tower: Path, tmp_path: Path, setting: dict[str, Any]
) -> None:
    """The message names the setting and what is supported."""
    source = original.write(tmp_path / "original", original.weights(), **setting)
    with pytest.raises(ValueError, match=rf"{next(iter(setting))} is .*, supported is"):
        convert(source, tmp_path / "new", tower=tower)


def test_code_in_a_pickled_checkpoint_is_not_run(original: OriginalLlava, tower: Path, tmp_path: Path) -> None:
    """A file that would call something on loading is refused."""
    source = original.write(tmp_path / "original", original.weights(), shards=2)
    torch.save({"lm_head.weight": _Trap(tmp_path / "sprung")}, source / "pytorch_model-00001-of-00002.bin")
    with pytest.raises(pickle.UnpicklingError):
        convert(source, tmp_path / "new", tower=tower)
    assert not (tmp_path / "sprung").exists()


class _Trap:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.file,))


def test_a_missing_shard_is_named(original: OriginalLlava, tower: Path, tmp_path: Path) -> None:
    """Before anything is read."""
    source = original.write(tmp_path / "original", original.weights(), shards=2)
    (source / "pytorch_model-00002-of-00002.bin").unlink()
    with pytest.raises(FileNotFoundError, match="pytorch_model-00002-of-00002"):
        convert(source, tmp_path / "new", tower=tower)


def test_a_folder_in_use_is_not_written_into(original: OriginalLlava, tower: Path, tmp_path: Path) -> None:
    """What is there stays as it is."""
    source = original.write(tmp_path / "original", original.weights())
    before = sorted(source.iterdir())
    with pytest.raises(FileExistsError):
        convert(source, source, tower=tower)
    assert sorted(source.iterdir()) == before
