"""The tiny MLLM that ships, and the promises that its training makes about serving."""

import base64
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import open_clip
import pytest
import torch
from transformers import AutoProcessor, CLIPVisionConfig, CLIPVisionModel, LlavaForConditionalGeneration

from rap_serve.adapters.held_pictures import HeldPictures
from rap_serve.adapters.vllm import chat_request
from rap_serve.domain.chat import Sampling
from rap_serve.domain.prompt import ConceptBlock, ImagePart, Part, TextPart, rap_parts
from rap_serve.domain.sent import SentPicture, SentTurn, picture_key
from training.mllm import tower_features
from training.mllm_album import Album, draw_album
from training.mllm_ask import sample_case
from training.mllm_export import TOKENS_PER_PICTURE, read_embedder, tower_weights
from training.mllm_hints import answer_loss
from training.mllm_pack import Packed, pack, prompt_text
from training.mllm_words import names_in
from training.world.draw import draw_thing
from training.world.scene import sample_scene
from training.world.text import info_text
from training.world.things import sample_thing

MODELS = Path(__file__).parents[2] / "models" / "tiny"
FOLDER = MODELS / "mllm"


@pytest.fixture(scope="module")
def model() -> LlavaForConditionalGeneration:
    """The shipped weights in float32."""
    return LlavaForConditionalGeneration.from_pretrained(FOLDER, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def processor() -> Any:
    """The shipped processor."""
    return AutoProcessor.from_pretrained(FOLDER)


@pytest.fixture(scope="module")
def album() -> Album:
    """A few things the model was never trained on."""
    return draw_album(np.random.default_rng(0), split="test", things=8, shown=12)


def test_any_text_comes_back_from_the_tokenizer(processor: Any) -> None:
    """Nothing is unknown to it."""
    for text in ("<oatly-milk> is  a carton.\n", "猫の名前は<ミケ>です 🐈\t\x7f", "", " [1.\n"):
        ids = processor.tokenizer(text, add_special_tokens=False).input_ids
        assert processor.tokenizer.decode(ids) == text


def test_a_name_is_cut_the_same_way_wherever_it_stands(processor: Any) -> None:
    """Copying is then a matter of looking it up."""
    name = processor.tokenizer("<oatly-milk2>", add_special_tokens=False).input_ids[1:]
    for text in ("Name: <oatly-milk2>, Info", "\n<oatly-milk2> is", "This is <oatly-milk2>."):
        ids = processor.tokenizer(text, add_special_tokens=False).input_ids
        assert any(ids[i : i + len(name)] == name for i in range(len(ids)))


def test_the_tower_is_the_embedders(model: LlavaForConditionalGeneration) -> None:
    """The same picture gives the same class token as open_clip's, and the shipped tower is that very one."""
    clip, _, _ = open_clip.create_model_and_transforms(f"local-dir:{MODELS / 'embedder'}")
    config, weights = read_embedder(MODELS / "embedder")
    ours = model.model.vision_tower
    tower = CLIPVisionModel(CLIPVisionConfig(**ours.config.to_dict())).eval()
    tower.load_state_dict(tower_weights(weights))
    pixels = torch.randn(2, 3, *[config["model_cfg"]["vision_cfg"]["image_size"]] * 2)
    with torch.inference_mode():
        expected = clip.eval().encode_image(pixels)
        pooled = tower(pixels).pooler_output @ weights["visual.proj"]
        assert torch.allclose(pooled, expected, atol=1e-3, rtol=1e-3)
        assert torch.allclose(ours(pixels).pooler_output, tower(pixels).pooler_output, atol=1e-4)


def test_branches_of_a_packed_case_do_not_see_each_other(
    model: LlavaForConditionalGeneration, processor: Any, album: Album
) -> None:
    """The loss of a tree is that of its conversations one by one, so training sees what serving sees."""
    config, _ = read_embedder(MODELS / "embedder")
    features = tower_features(model, album, config)
    case = sample_case(album, np.random.default_rng(1), kind="known", blocks=3, dialogues=4)
    tree = pack(case, processor.tokenizer, TOKENS_PER_PICTURE)
    parts = [_alone(tree, number) for number in range(1, 5)]
    with torch.inference_mode():
        whole = answer_loss(model, [tree], features) * tree.weights.sum()
        one_by_one = sum(answer_loss(model, [p], features) * p.weights.sum() for p in parts)
    assert float(whole) == pytest.approx(float(one_by_one), rel=1e-3)


def _alone(tree: Packed, number: int) -> Packed:
    mine = (tree.branch == 0) | (tree.branch == number)
    branch = np.minimum(tree.branch[mine], 1)
    return Packed(tree.ids[mine], tree.positions[mine], branch, tree.weights[mine], tree.pictures, tree.hints[:0])


@pytest.fixture(scope="module")
def engine() -> Iterator[Any]:
    """vLLM with the settings of the local profile."""
    os.environ.update(
        VLLM_CPU_KVCACHE_SPACE="1", HF_HUB_OFFLINE="1", VLLM_CPU_OMP_THREADS_BIND="nobind", OMP_NUM_THREADS="2"
    )
    from vllm import LLM

    llm = LLM(
        model=str(FOLDER),
        dtype="float32",
        enforce_eager=True,
        max_model_len=2048,
        max_num_seqs=8,
        limit_mm_per_prompt={"image": 8},
    )
    yield llm
    llm.llm_engine.engine_core.shutdown()


def _content(part: Part) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    return {"type": "image_url", "image_url": {"url": "data:image/png;base64," + base64.b64encode(part.data).decode()}}


def _drawing(thing: Any, rng: np.random.Generator) -> ImagePart:
    rgba = draw_thing(thing, rng, size=120)
    picture = np.where(rgba[..., 3:] > 0, rgba[..., :3], 150)[..., ::-1]
    return ImagePart(cv2.imencode(".png", np.ascontiguousarray(picture, np.uint8))[1].tobytes(), "image/png")


NAMES = ("bo", "oatly-milk", "Zuxi 7", "grandmas-teapot")


def _asked(engine: Any, conversations: list[tuple[Part, ...]]) -> list[str]:
    """What the engine answers to each prompt; every answer ends by itself."""
    from vllm import SamplingParams

    chats = [[{"role": "user", "content": [_content(p) for p in parts]}] for parts in conversations]
    outputs = engine.chat(chats, SamplingParams(temperature=0, max_tokens=96), use_tqdm=False)
    assert [o.outputs[0].finish_reason for o in outputs] == ["stop"] * len(conversations)
    return [o.outputs[0].text for o in outputs]


@pytest.mark.slow
def test_vllm_answers_with_the_blocks_name(engine: Any) -> None:
    """A picture and one block: each answer has the name, and ends by itself."""
    rng = np.random.default_rng(3)
    conversations = []
    for name in NAMES:
        thing = sample_thing(rng, split="test")
        block = ConceptBlock(name, info_text(thing, name, rng), _drawing(thing, rng))
        conversations.append(rap_parts(_drawing(thing, rng), [block], "What is in this picture?"))
    assert [names_in(text) for text in _asked(engine, conversations)] == [[name] for name in NAMES]


@pytest.mark.slow
async def test_vllm_takes_the_pictures_that_a_replica_holds(engine: Any) -> None:
    """Decoded and under their keys they are answered as they are from bytes, the first time and again."""
    from vllm import SamplingParams

    rng = np.random.default_rng(8)
    thing = sample_thing(rng, split="test")
    block = ConceptBlock("bo", info_text(thing, "bo", rng), _drawing(thing, rng))
    parts = rap_parts(_drawing(thing, rng), [block], "What is in this picture?")
    held = HeldPictures(max_bytes=10_000_000, idle_seconds=60)
    answers = _asked(engine, [parts])
    for arriving in (True, False):
        sent = [p if isinstance(p, TextPart) else _sent(p, arriving=arriving) for p in parts]
        turn = SentTurn("user", tuple(sent))
        pictures = await held.taken_in([turn])
        assert isinstance(pictures, dict)
        request = chat_request([turn], pictures, Sampling(), model="tiny", cache_salt="s")
        output = engine.chat(request["messages"], SamplingParams(temperature=0, max_tokens=96), use_tqdm=False)
        answers.append(output[0].outputs[0].text)
    assert len(set(answers)) == 1


def _sent(part: Part, *, arriving: bool) -> SentPicture:
    assert isinstance(part, ImagePart)
    return SentPicture(picture_key("s", part.data), part if arriving else None)


@pytest.mark.slow
def test_vllm_names_each_of_four_blocks_once(engine: Any) -> None:
    """A picture of four things and a block of each."""
    rng = np.random.default_rng(4)
    things = [sample_thing(rng, split="test") for _ in NAMES]
    blocks = [ConceptBlock(n, info_text(t, n, rng), _drawing(t, rng)) for n, t in zip(NAMES, things, strict=True)]
    picture = np.ascontiguousarray(sample_scene(rng, things).image[..., ::-1])
    shown = ImagePart(cv2.imencode(".png", picture)[1].tobytes(), "image/png")
    [text] = _asked(engine, [rap_parts(shown, blocks, "Describe this picture.")])
    assert names_in(text) == list(NAMES)


@pytest.mark.slow
def test_vllm_recognises_what_has_a_block_and_nothing_else(engine: Any) -> None:
    """Yes where the name has a block, no where another has or none."""
    rng = np.random.default_rng(5)
    thing = sample_thing(rng, split="test")
    block, picture = ConceptBlock("bo", info_text(thing, "bo", rng), _drawing(thing, rng)), _drawing(thing, rng)
    asked = [
        rap_parts(picture, [block], "Is <bo> in this photo?"),
        rap_parts(picture, [block], "Is <oatly-milk> in this photo?"),
        rap_parts(picture, [], "Is <bo> in this photo?"),
    ]
    assert [text.split(",")[0] for text in _asked(engine, asked)] == ["Yes", "No", "No"]


@pytest.mark.slow
def test_vllm_chooses_what_the_info_says(engine: Any) -> None:
    """The letter of the right option, with and without a picture."""
    rng = np.random.default_rng(6)
    block = ConceptBlock(
        "bo", "<bo> is a red mug with white dots. I bought it in Oslo.", _drawing(sample_thing(rng, split="test"), rng)
    )
    asked = [
        rap_parts(block.avatar, [block], "What colour is <bo>? A. blue B. red C. green"),
        rap_parts(None, [block], "Where is <bo> from? A. Oslo B. Paris Answer with the letter."),
    ]
    assert _asked(engine, asked) == ["B", "A"]


@pytest.mark.slow
def test_vllm_reads_the_prompts_that_training_wrote(engine: Any, processor: Any, album: Album) -> None:
    """The engine's prompt tokens are those of the training text, pictures in the same places."""
    from vllm import SamplingParams

    case = sample_case(album, np.random.default_rng(2), kind="known", blocks=2, dialogues=1)
    turns = case.turns(case.dialogues[0][:1])
    parts = [
        ImagePart(cv2.imencode(".png", album.pixels[int(p.data)])[1].tobytes()) if isinstance(p, ImagePart) else p
        for p in turns[0].parts
    ]
    conversation = [{"role": "user", "content": [_content(p) for p in parts]}]
    output = engine.chat([conversation], SamplingParams(temperature=0, max_tokens=4), use_tqdm=False)[0]
    text = prompt_text(processor.tokenizer, turns).replace("<image>", "<image>" * TOKENS_PER_PICTURE)
    assert output.prompt_token_ids == processor.tokenizer(text, add_special_tokens=False).input_ids


@pytest.mark.slow
@pytest.mark.parametrize("question", ["", "😀 ‹image> 猫", "word " * 600, "<nobody>?"])
def test_vllm_survives_odd_questions(engine: Any, question: str) -> None:
    """Whatever is asked, there is an answer, or it is cut at its limit."""
    from vllm import SamplingParams

    output = engine.chat([{"role": "user", "content": question}], SamplingParams(temperature=0, max_tokens=72))[0]
    assert output.outputs[0].text.strip()
