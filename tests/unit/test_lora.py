"""Low-rank tuning with RAP's recipe, on the tiny MLLM and on a small Qwen-VL."""

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForImageTextToText,
    PreTrainedTokenizerFast,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLImageProcessor,
    Qwen2VLProcessor,
    Qwen2VLVideoProcessor,
)

from tests.rap_records import write_records
from training.lora import parsed, read_examples
from training.lora_merge import adapter, merged, read_deltas
from training.lora_model import Recipe, Trainer, adapted, load, rate_share, save_tuned
from training.lora_records import IGNORED, Collator, Example, Inputs, Share, Steps, examples, order, rendered

TINY = Path(__file__).parents[2] / "models" / "tiny" / "mllm"
CPU = torch.device("cpu")
RECIPE = Recipe(rank=16, alpha=32, rate=1e-3, projector_rate=1e-3, batch=4, micro_batch=2, dtype="float32")
"""Small and bold, so that six steps show."""
WITHOUT_DROPOUT = replace(RECIPE, dropout=0.0, micro_batch=4)


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight records, two of them without pictures."""
    folder = tmp_path_factory.mktemp("records")
    write_records(folder, 8, without_picture=2)
    return folder


@pytest.fixture(scope="module")
def chosen(records: Path) -> list[Example]:
    """The records as examples."""
    return read_examples(records, records)


@pytest.fixture(scope="module")
def collate() -> Collator:
    """The shipped model's processor at work."""
    return Collator(load(TINY, "float32", CPU)[1], max_tokens=2048)


@pytest.fixture(scope="module")
def tuned(chosen: list[Example], collate: Collator) -> Trainer:
    """The shipped model after six steps."""
    trainer = fresh(RECIPE)
    for number, batches in enumerate(steps_of(chosen, collate, 6)):
        trainer.step(number, batches)
    return trainer


@pytest.fixture(scope="module")
def run(tuned: Trainer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the six steps leave on disk."""
    folder = tmp_path_factory.mktemp("run")
    save_tuned(tuned.model, folder)
    return folder


def fresh(recipe: Recipe) -> Trainer:
    """The shipped model, not yet trained further."""
    return Trainer(adapted(load(TINY, "float32", CPU)[0], recipe), recipe, steps=6)


def steps_of(chosen: list[Example], collate: Collator, count: int) -> Iterator[list[Inputs]]:
    """The first steps' batches."""
    data = Steps(chosen, collate, Share(RECIPE.batch, RECIPE.micro_batch), steps=6, seed=RECIPE.seed)
    return (data[number] for number in range(count))


@torch.inference_mode()
def scores(model: Any, inputs: Inputs) -> torch.Tensor:
    """What a model gives for a batch."""
    return model.eval()(**{k: v for k, v in inputs.items() if k != "labels"}).logits.float()


def test_exactly_the_answers_are_learned(chosen: list[Example], collate: Collator) -> None:
    """The labels are the answers with their end signs, turn by turn; questions, blocks and pictures are ignored."""
    tokenizer = load(TINY, "float32", CPU)[1].tokenizer
    batch = collate(chosen)
    for example, labels in zip(chosen, batch["labels"], strict=True):
        answers = [text for role, text in example.turns if role == "assistant"]
        assert tokenizer.decode(labels[labels != IGNORED]) == "".join(f"{answer}</s>" for answer in answers)


def test_the_prompt_is_the_one_that_serving_writes(chosen: list[Example]) -> None:
    """Rendered through the chat template, with a placeholder where each picture is."""
    text, spans = rendered(load(TINY, "float32", CPU)[1], chosen[0])
    assert text.startswith("<s>USER:\n<image>\n[1.<image>\n Name: <")
    assert [text[begin:end] for begin, end in spans] == [f"{t}</s>" for r, t in chosen[0].turns if r == "assistant"]


def test_every_epoch_shows_every_record_once_in_an_order_of_its_own() -> None:
    """And the seed alone decides it."""
    first, second, again = (list(islice(numbers, 10)) for numbers in _three_epochs())
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second
    assert first == again


def _three_epochs() -> list[Iterator[int]]:
    numbers = order(10, seed=3)
    return [numbers, numbers, order(10, seed=3)]


def test_workers_share_a_batch_without_overlap() -> None:
    """However many there are, together they see the same examples."""
    batch = [5, 3, 8, 1, 9, 2, 7, 0]
    for workers in (1, 2, 4):
        parts = [Share(8, 3, rank, workers).of(batch) for rank in range(workers)]
        assert sorted(i for part in parts for micro in part for i in micro) == sorted(batch)
        assert all(len(micro) <= 3 for part in parts for micro in part)


def test_a_batch_that_workers_cannot_share_is_refused() -> None:
    """Before anything starts."""
    with pytest.raises(ValueError, match="shared evenly by 3 workers"):
        Share(8, 2, 0, 3)


def test_the_loss_falls(chosen: list[Example], collate: Collator, tuned: Trainer) -> None:
    """Answers in words that the shipped model never spoke, learned in six steps of four records."""
    batch = collate(chosen)
    with torch.inference_mode():
        before, after = (model.eval()(**batch).loss.item() for model in (fresh(RECIPE).model, tuned.model))
    assert after < before - 1


def test_only_the_language_model_gets_adapters_and_the_projector_learns(tuned: Trainer) -> None:
    """One pair for each of the seven linear layers of each of four blocks; the tower stays as it was."""
    learned = {name.removeprefix("base_model.model.") for name in tuned.learning}
    pairs = {name for name in learned if ".lora_" in name}
    assert len(pairs) == 2 * 7 * tuned.model.config.text_config.num_hidden_layers
    assert all(name.startswith("model.language_model.layers.") for name in pairs)
    assert {name.rpartition(".")[0] for name in learned - pairs} == {
        "model.multi_modal_projector.linear_1",
        "model.multi_modal_projector.linear_2",
    }
    before = load(TINY, "float32", CPU)[0].state_dict()
    after = tuned.model.get_base_model().state_dict()
    frozen = [name for name in before if "vision_tower" in name or "norm" in name or "embed_tokens" in name]
    assert all(torch.equal(before[name], after[name]) for name in frozen)
    assert not torch.equal(*(s["model.multi_modal_projector.linear_2.bias"] for s in (before, after)))


def test_a_resumed_run_ends_with_the_same_bits(chosen: list[Example], collate: Collator, tuned: Trainer) -> None:
    """Stopped after three steps, its state through a file, a model built anew; dropout included."""
    batches = list(steps_of(chosen, collate, 6))
    first = fresh(RECIPE)
    for number in range(3):
        first.step(number, batches[number])
    kept = io.BytesIO()
    torch.save(first.state(), kept)
    second = fresh(RECIPE)
    second.load(torch.load(io.BytesIO(kept.getvalue()), weights_only=True))
    for number in range(3, 6):
        second.step(number, batches[number])
    assert all(torch.equal(value, tuned.learning[name]) for name, value in second.learning.items())


def test_a_run_is_not_resumed_with_another_recipe(tuned: Trainer) -> None:
    """The message names what differs."""
    other = fresh(replace(RECIPE, rate=2e-3))
    with pytest.raises(ValueError, match=r"rate 0\.001 then, 0\.002 now"):
        other.load(tuned.state())


@pytest.mark.parametrize("otherwise", [{"micro_batch": 1}, {"gradient_checkpointing": True}])
def test_saving_memory_does_not_change_the_update(
    chosen: list[Example], collate: Collator, plain: tuple[float, torch.Tensor], otherwise: dict[str, Any]
) -> None:
    """Four examples at once or one by one, activations kept or made anew: the same mean over the answers' tokens."""
    loss, gradients = first_update(chosen, collate, replace(WITHOUT_DROPOUT, **otherwise))
    assert loss == pytest.approx(plain[0], rel=1e-4)
    assert torch.allclose(gradients, plain[1], atol=1e-5)


@pytest.fixture(scope="module")
def plain(chosen: list[Example], collate: Collator) -> tuple[float, torch.Tensor]:
    """Loss and gradients of a first step that saves no memory."""
    return first_update(chosen, collate, WITHOUT_DROPOUT)


def first_update(chosen: list[Example], collate: Collator, recipe: Recipe) -> tuple[float, torch.Tensor]:
    """The loss of the first step, and the gradients of all that learns."""
    trainer = fresh(recipe)
    data = Steps(chosen, collate, Share(recipe.batch, recipe.micro_batch), steps=6, seed=0)
    figures = trainer.step(0, data[0])
    return figures["loss"], torch.cat([p.grad.flatten() for p in trainer.learning.values()])


def test_the_merged_checkpoint_is_the_tuned_model(
    chosen: list[Example], collate: Collator, tuned: Trainer, run: Path, tmp_path: Path
) -> None:
    """Without peft and without the base, projector included."""
    merged(TINY, run, tmp_path / "merged", dtype=torch.float32)
    alone = AutoModelForImageTextToText.from_pretrained(tmp_path / "merged", dtype=torch.float32)
    batch = collate(chosen[:2])
    assert torch.allclose(scores(alone, batch), scores(tuned.model, batch), atol=2e-3)
    assert not torch.allclose(scores(alone, batch), scores(fresh(RECIPE).model, batch), atol=1)
    assert json.loads((tmp_path / "merged" / "config.json").read_text())["dtype"] == "float32"


def test_the_adapter_over_the_copied_base_is_the_tuned_model(
    chosen: list[Example], collate: Collator, tuned: Trainer, run: Path, tmp_path: Path
) -> None:
    """The projector is in the copy, the rest in the adapter. The copy is float16, as the base is."""
    adapter(TINY, run, tmp_path / "adapter", base_copy=tmp_path / "base")
    copy = AutoModelForImageTextToText.from_pretrained(tmp_path / "base", dtype=torch.float32)
    model = PeftModel.from_pretrained(copy, tmp_path / "adapter")
    batch = collate(chosen[:2])
    assert torch.allclose(scores(model, batch), scores(tuned.model, batch), atol=3e-2)


def test_an_adapter_alone_cannot_hold_a_trained_projector(run: Path, tmp_path: Path) -> None:
    """It is refused, with what to do instead, and nothing is written."""
    with pytest.raises(ValueError, match="--base-copy"):
        adapter(TINY, run, tmp_path / "adapter")
    assert not (tmp_path / "adapter").exists()


def test_a_frozen_projector_leaves_an_adapter_that_stands_alone(tmp_path: Path) -> None:
    """No copy of the base is needed then."""
    save_tuned(fresh(replace(RECIPE, freeze_projector=True)).model, tmp_path / "run")
    adapter(TINY, tmp_path / "run", tmp_path / "adapter")
    assert not (tmp_path / "run" / "projector.safetensors").exists()
    layers = json.loads((TINY / "config.json").read_text())["text_config"]["num_hidden_layers"]
    assert len(read_deltas(tmp_path / "adapter")) == 7 * layers


def test_an_adapter_of_another_base_is_refused(run: Path, tmp_path: Path) -> None:
    """A base without some of the adapted layers: they are named, and nothing is left behind."""
    qwen = tmp_path / "qwen"
    write_qwen(qwen)
    with pytest.raises(ValueError, match=r"no place for .*model\.language_model\.layers|does not fit"):
        merged(qwen, run, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


@pytest.mark.parametrize(
    ("record", "told"),
    [
        ({"conversations": [{"from": "human", "value": "<image>"}, {"from": "gpt", "value": "."}]}, "1 <image>"),
        ({"conversations": [{"from": "gpt", "value": "."}]}, "take turns"),
        ({"conversations": [{"from": "robot", "value": "."}]}, "not a conversation"),
        ({}, "not a conversation"),
    ],
)
def test_a_record_that_is_no_conversation_is_named(record: dict[str, Any], told: str) -> None:
    """With what is wrong with it."""
    with pytest.raises(ValueError, match=f"record r7: .*{told}"):
        examples([{"id": "r7", **record}], Path())


def test_a_picture_that_cannot_be_read_names_its_record(collate: Collator, tmp_path: Path) -> None:
    """Among thousands, that is the one to mend."""
    (tmp_path / "broken.png").write_bytes(b"no picture")
    example = Example("r9", (tmp_path / "broken.png",), (("user", "<image>"), ("assistant", "A dog.")))
    with pytest.raises(ValueError, match=r"record r9: .*broken\.png"):
        collate([example])


def test_a_long_answer_is_cut_and_pictures_that_do_not_fit_are_refused(chosen: list[Example]) -> None:
    """Half a picture would be worse than none."""
    processor = load(TINY, "float32", CPU)[1]
    assert Collator(processor, max_tokens=120)(chosen[:1])["labels"].shape[1] == 120
    with pytest.raises(ValueError, match=f"record {chosen[0].id}: its pictures do not fit in 50 tokens"):
        Collator(processor, max_tokens=50)(chosen[:1])


def test_the_rate_rises_and_falls() -> None:
    """Three steps of a hundred up, then a cosine that ends near 0."""
    shares = [rate_share(step, 100, 0.03) for step in range(100)]
    assert shares[:3] == pytest.approx([1 / 3, 2 / 3, 1.0])
    assert shares[3:] == sorted(shares[3:], reverse=True)
    assert 0 < shares[-1] < 0.001


def test_the_command_lines_defaults_are_the_papers() -> None:
    """Rank 128, alpha 256, 1e-4 and 2e-5, one epoch."""
    options = parsed(["tune", "--model", "m", "--data", "d", "--out", "o"])
    assert (options.rank, options.alpha, options.dropout, options.epochs) == (128, 256, 0.05, 1.0)
    assert (options.rate, options.projector_rate, options.warmup) == (1e-4, 2e-5, 0.03)


def write_qwen(folder: Path) -> None:
    """A Qwen2-VL of 2 layers and 64 dimensions, with a tokenizer that knows bytes alone."""
    signs = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>")
    specials = (*signs, "<|image_pad|>", "<|video_pad|>")
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    bpe = Tokenizer(models.BPE(vocab={each: i for i, each in enumerate((*specials, *letters))}, merges=[]))
    bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=[*specials[1:]],
    )
    template = (
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% for p in m.content %}"
        "{% if p.type == 'text' %}{{ p.text }}{% else %}{{ '<|vision_start|><|image_pad|><|vision_end|>' }}{% endif %}"
        "{% endfor %}{{ '<|im_end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    )
    prepared = {"patch_size": 14, "merge_size": 2, "temporal_patch_size": 2}
    size = {"shortest_edge": 56 * 56, "longest_edge": 84 * 84}
    Qwen2VLProcessor(
        image_processor=Qwen2VLImageProcessor(**prepared, size=size),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(**prepared),
        chat_template=template,
    ).save_pretrained(folder)
    text = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 2}
    text |= {"num_key_value_heads": 2, "vocab_size": len(tokenizer), "max_position_embeddings": 2048}
    text |= {"rope_parameters": {"rope_type": "default", "mrope_section": [4, 6, 6], "rope_theta": 10000.0}}
    ids = {name: tokenizer.convert_tokens_to_ids(f"<|{name}|>") for name in ("image_pad", "video_pad")}
    config = Qwen2VLConfig(
        text_config=text,
        vision_config={"depth": 2, "embed_dim": 64, "hidden_size": 64, "num_heads": 2},
        image_token_id=ids["image_pad"],
        video_token_id=ids["video_pad"],
        vision_start_token_id=tokenizer.convert_tokens_to_ids("<|vision_start|>"),
        vision_end_token_id=tokenizer.convert_tokens_to_ids("<|vision_end|>"),
    )
    torch.manual_seed(0)
    Qwen2VLForConditionalGeneration(config).save_pretrained(folder)


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Qwen2-VL with random weights."""
    folder = tmp_path_factory.mktemp("qwen")
    write_qwen(folder)
    return folder


def test_a_qwen_learns_by_the_same_recipe(chosen: list[Example], qwen: Path, tmp_path: Path) -> None:
    """Adapters in its language model, its merger in full, its tower frozen; merged, it is the tuned model."""
    base, processor = load(qwen, "float32", CPU)
    collate = Collator(processor, max_tokens=2048)
    trainer = Trainer(adapted(base, replace(RECIPE, rate=1e-2)), replace(RECIPE, rate=1e-2), steps=6)
    names = {name.removeprefix("base_model.model.") for name in trainer.learning}
    assert {name.split(".")[1] for name in names if ".lora_" in name} == {"language_model"}
    assert all(name.startswith("model.visual.merger.") for name in names if ".lora_" not in name)
    losses = [trainer.step(n, b)["loss"] for n, b in enumerate(steps_of(chosen, collate, 4))]
    assert losses[-1] < losses[0]
    save_tuned(trainer.model, tmp_path / "run")
    merged(qwen, tmp_path / "run", tmp_path / "merged")
    alone = AutoModelForImageTextToText.from_pretrained(tmp_path / "merged", dtype=torch.float32)
    batch = collate(chosen[:2])
    assert torch.allclose(scores(alone, batch), scores(trainer.model, batch), atol=1e-3)


def test_a_qwens_labels_are_its_answers(chosen: list[Example], qwen: Path) -> None:
    """Its pictures take differing numbers of tokens; the answers are found all the same."""
    processor = load(qwen, "float32", CPU)[1]
    batch = Collator(processor, max_tokens=4096)(chosen)
    for example, labels in zip(chosen, batch["labels"], strict=True):
        answers = [text for role, text in example.turns if role == "assistant"]
        told = processor.tokenizer.decode(labels[labels != IGNORED])
        assert told == "".join(f"{answer}<|im_end|>\n" for answer in answers)


def test_an_unknown_kind_of_model_is_refused(tmp_path: Path) -> None:
    """What is known is listed."""
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    with pytest.raises(ValueError, match="is a gpt2; known are llava, qwen2_vl"):
        load(tmp_path, "float32", CPU)
