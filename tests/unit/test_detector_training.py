"""How words and pictures become what the detector learns, and how it is measured."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import ray

torch = pytest.importorskip("torch")

from rap_serve.adapters.open_clip import OpenClipEmbedder  # noqa: E402
from rap_serve.adapters.yolo_world import GENERIC_WORDS, YoloWorldDetector  # noqa: E402
from rap_serve.domain.region import Region  # noqa: E402
from training.detector import CHECKPOINT_NAME, STAGES, configure, train  # noqa: E402
from training.detector_backbone import QUESTIONS, BackboneTrainer, CropBatches, answers  # noqa: E402
from training.detector_batches import (  # noqa: E402
    ALL_WORDS,
    WORDS_PER_PICTURE,
    Batch,
    Batches,
    collate,
    sample_vocabulary,
    truths_of,
)
from training.detector_figures import scenes  # noqa: E402
from training.detector_loss import naming_loss  # noqa: E402
from training.detector_scenes import View, compose, look, oddity  # noqa: E402
from training.detector_scores import Labelled, average_precisions, naming, recall, recall_by_count  # noqa: E402
from training.detector_stage import Stage, Trainer, new_model  # noqa: E402
from training.detector_words import Floats  # noqa: E402
from training.run import Place  # noqa: E402
from training.world import GROUPS, HELD_OUT, sample_thing, split_of  # noqa: E402
from training.world.things import KINDS  # noqa: E402

EMBEDDER = Path(__file__).parents[2] / "models/tiny/embedder"
CPU = torch.device("cpu")


def test_a_thing_is_what_its_category_its_group_its_synonyms_and_generic_words_say() -> None:
    """Every true word counts, whatever else is in the vocabulary."""
    thing = sample_thing(np.random.default_rng(0), split="train", category="dog")
    assert truths_of(thing, ("puppy", "object", "mug", "dog", "pet", "animal")).tolist() == [1, 1, 0, 1, 1, 1]


def test_a_thing_without_a_category_is_an_object_only() -> None:
    """Odd shapes teach the generic words and nothing else."""
    assert truths_of(None, (*ALL_WORDS, *GENERIC_WORDS)).sum() == len(GENERIC_WORDS)


def test_vocabularies_fit_and_name_no_word_twice() -> None:
    """Between one word and the width of a batch."""
    rng = np.random.default_rng(1)
    things = [sample_thing(rng, split="train") for _ in range(6)]
    for _ in range(200):
        words = sample_vocabulary(things, rng)
        assert 1 <= len(words) <= WORDS_PER_PICTURE and len(set(words)) == len(words)


def test_nothing_held_out_is_drawn_or_asked_for_in_training() -> None:
    """Neither a thing of a held-out category nor a word that only such a thing has."""
    rng = np.random.default_rng(2)
    drawn = [thing for _ in range(30) for thing in compose(rng, split="train").things if thing is not None]
    assert {split_of(thing) for thing in drawn} == {"train"}
    words = {word for name in HELD_OUT for word in (name, *KINDS[name].synonyms)}
    assert not {thing.category for thing in drawn} & set(HELD_OUT) and not words & set(ALL_WORDS)
    assert set(GROUPS) <= set(ALL_WORDS)


def test_batches_hold_what_their_vocabularies_name() -> None:
    """Boxes lie inside the picture; each has a true word; the same seed gives the same batch."""
    first, second = (next(iter(Batches([64], 4, seed=[3]))) for _ in range(2))
    assert torch.equal(first.pixels, second.pixels) and first.vocabularies == second.vocabularies
    assert first.boxes.min() >= 0 and first.boxes.max() <= 1
    for picture in range(len(first.pixels)):
        count = int((first.owners == picture).sum())
        assert first.truths[picture, :count].any(dim=-1).all()
        assert not first.truths[picture, count:].any()


def test_a_batch_may_show_nothing() -> None:
    """Backgrounds alone are a batch too."""
    empty = View(np.zeros((60, 80, 3), np.uint8), (), np.zeros((0, 4), np.float32))
    batch = collate([empty, empty], 64, np.random.default_rng(4))
    assert batch.boxes.shape == (0, 4) and batch.truths.shape == (2, 0, WORDS_PER_PICTURE)


def test_each_word_of_a_picture_takes_part_in_naming_once() -> None:
    """Generic words and the repeats that fill a vocabulary up are left out."""
    batch = next(iter(Batches([64], 16, seed=[5])))
    for words, takes_part in zip(batch.vocabularies, batch.naming, strict=True):
        named = [word for word, counts in zip(words, takes_part.tolist(), strict=True) if counts]
        assert len(named) == len(set(named)) and set(named) == set(words) - GENERIC_WORDS


def test_views_keep_boxes_inside_and_apart_from_their_scene() -> None:
    """Zooming and flipping move the boxes with the pixels."""
    rng = np.random.default_rng(5)
    drawn = [compose(rng, split="test") for _ in range(8)]
    for view in (look(scene, rng) for scene in drawn * 5):
        height, width = view.image.shape[:2]
        assert len(view.things) == len(view.boxes_xyxy)
        assert (view.boxes_xyxy >= 0).all() and (view.boxes_xyxy <= (width, height, width, height)).all()


def test_odd_shapes_have_one_outline() -> None:
    """All parts of a shape hang together, so that one box is right."""
    rng = np.random.default_rng(6)
    for _ in range(20):
        count, _ = cv2.connectedComponents((oddity(rng, 80)[..., 3] > 0).astype(np.uint8))
        assert count == 2


def test_crops_follow_from_their_seed_and_come_large_and_small() -> None:
    """As many batches as asked for; each crop has an answer to every question."""
    first, second = (list(CropBatches(3, 2, seed=[7])) for _ in range(2))
    assert [pixels.shape[-1] for pixels, _ in first] == [96, 64, 96]
    for (pixels, right), (again, _) in zip(first, second, strict=True):
        assert torch.equal(pixels, again) and right.shape == (len(pixels), len(QUESTIONS))


def test_answers_lie_within_what_the_questions_allow() -> None:
    """Whatever thing training may show."""
    rng = np.random.default_rng(8)
    found = np.array([answers(sample_thing(rng, split="train")) for _ in range(100)])
    assert (found >= 0).all() and (found < [count for _, count in QUESTIONS]).all()


def test_naming_asks_for_the_true_words_before_the_wrong_ones() -> None:
    """Little is lost where they stand first, much where they stand last; words left out do not matter."""
    true = torch.tensor([[[1.0, 1.0, 0.0, 0.0]]])
    weights = torch.ones(1, 1)
    counts = torch.tensor([[True, True, True, False]])
    right, wrong = (torch.tensor([[[a, a, b, 50.0]]]) for a, b in ((4.0, -4.0), (-4.0, 4.0)))
    assert naming_loss(right, true, weights, counts) < 0.01 < 7 < naming_loss(wrong, true, weights, counts)


def test_naming_is_silent_where_nothing_can_be_named() -> None:
    """Background, or a vocabulary of generic words."""
    scores, true = torch.zeros(1, 5, 3), torch.zeros(1, 5, 3)
    assert naming_loss(scores, true, torch.zeros(1, 5), torch.ones(1, 3).bool()) == 0
    assert naming_loss(scores, true + 1, torch.ones(1, 5), torch.zeros(1, 3).bool()) == 0


def test_a_stage_grows_its_pictures_and_lets_its_rate_fall() -> None:
    """Small pictures first, large ones last."""
    stage = Stage(steps=1000, rate=1.0, last=0.1, naming=(4.0, 1.0), sizes=((0.5, (128, 160)), (0.5, (320,))))
    assert [stage.size_at(step) for step in (0, 499, 500, 999)] == [128, 160, 320, 320]
    assert [stage.naming_at(step) for step in (0, 500, 1000)] == [4.0, 2.5, 1.0]
    assert stage.rate_at(0) < stage.rate_at(250) > stage.rate_at(900) > 0.1


def _batches() -> list[Batch]:
    return list(Batches([64] * 4, 2, seed=[12]))


def random_words(word: str) -> Floats:
    """A direction of its own for each word."""
    row = np.random.default_rng(sum(map(ord, word))).standard_normal(512)
    return np.asarray(row / np.linalg.norm(row), np.float32)


def _trainer() -> Trainer:
    torch.manual_seed(0)
    return Trainer(new_model(), Stage(4, 0.1, 0.1, (4.0, 1.0), ((1.0, (64,)),)), random_words, CPU)


def test_training_goes_on_from_what_it_kept() -> None:
    """Two steps, a new process's trainer and two more end where four steps end."""
    whole, first, second = _trainer(), _trainer(), _trainer()
    for number, batch in enumerate(_batches()):
        whole.step(number, batch)
        if number == 2:
            second.load(first.state())
        (first if number < 2 else second).step(number, batch)
    for one, other in zip(whole.result().state_dict().values(), second.result().state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_the_backbone_learns_from_crops() -> None:
    """Shown one batch again and again, its loss falls, and only layers before the neck change."""
    torch.manual_seed(0)
    model = new_model()
    neck = model.model[12].cv1.conv.weight.clone()
    trainer = BackboneTrainer(model, steps=12, device=CPU)
    batch = next(iter(CropBatches(1, 4, seed=[13])))
    losses = [float(trainer.step(number, batch)["loss"]) for number in range(12)]
    assert losses[-1] < losses[0] and torch.equal(neck, trainer.result().model[12].cv1.conv.weight)


def _picture(*things: tuple[str, tuple[float, float, float, float]]) -> Labelled:
    return Labelled(np.zeros((40, 40, 3), np.uint8), ("dog", "cat"), things)


def test_right_regions_score_full_marks() -> None:
    """Every thing found, every label right, none too many."""
    pictures = [_picture(("dog", (0, 0, 10, 10)), ("cat", (20, 20, 30, 30))), _picture(("dog", (5, 5, 15, 15)))]
    found = [tuple(Region(box, name, 0.9) for name, box in picture.things) for picture in pictures]
    assert recall(pictures, found) == 1 and recall_by_count(pictures, found) == {1: 1.0, 2: 1.0}
    assert average_precisions(pictures, found) == {"cat": 1.0, "dog": 1.0}
    assert naming(pictures, found) == {"all": 1.0, "cat": 1.0, "dog": 1.0}


def test_a_wrong_label_costs_precision_and_not_recall() -> None:
    """The box is there, its name is not."""
    pictures = [_picture(("dog", (0, 0, 10, 10)))]
    found = [(Region((0.0, 0.0, 10.0, 10.0), "cat", 0.9),)]
    assert recall(pictures, found) == 1
    assert average_precisions(pictures, found) == {"dog": 0.0} and naming(pictures, found)["dog"] == 0


def test_a_surer_false_alarm_halves_the_precision() -> None:
    """One thing, found second best."""
    pictures = [_picture(("dog", (0, 0, 10, 10)))]
    found = [(Region((20.0, 20.0, 30.0, 30.0), "dog", 0.9), Region((0.0, 0.0, 10.0, 10.0), "dog", 0.8))]
    assert average_precisions(pictures, found) == {"dog": 0.5}


def test_held_out_things_are_asked_for_by_their_group() -> None:
    """One to six in a picture, each with a word that the vocabulary has."""
    pictures = scenes(6, HELD_OUT, GROUPS)
    assert [len(picture.things) for picture in pictures] == [1, 2, 3, 4, 5, 6]
    assert {name for picture in pictures for name, _ in picture.things} <= {KINDS[name].group for name in HELD_OUT}


def test_a_picture_asked_for_one_word_keeps_its_boxes() -> None:
    """Everything in it is right for that word."""
    picture = _picture(("dog", (0, 0, 10, 10)), ("cat", (20, 20, 30, 30))).as_one("object")
    assert picture.vocabulary == ("object",) and picture.things[1] == ("object", (20, 20, 30, 30))


@pytest.mark.slow
def test_the_whole_recipe_leaves_a_detector_that_can_be_served(tmp_path: Path) -> None:
    """All stages under Ray Train, a step or two each; what is done is not done again."""
    place = Place(tmp_path / "kept")
    config = configure(EMBEDDER, seed=0, steps={"backbone": 2, "words": 1, "things": 1, "names": 1}, place=place)
    train(config, tmp_path / "out", place, until="backbone")
    kept = Path(config["results"]["backbone"])
    written = kept.stat().st_mtime_ns
    train(config, tmp_path / "out", replace(place, resume=True), until="names")
    ray.shutdown()
    assert kept.stat().st_mtime_ns == written
    encoder = OpenClipEmbedder.load(str(EMBEDDER))
    weights = str(tmp_path / "out" / CHECKPOINT_NAME)
    detector = YoloWorldDetector.load(weights, text_encoder=encoder, image_size=64, confidence=0.0, threads=1)
    assert detector.forward([detector.preprocess(np.zeros((60, 80, 3), np.uint8), ("mug", "dog"))])[0]
    record = json.loads((tmp_path / "out" / "training.json").read_text())
    assert [len(record["stages"][stage]["curve"]) for stage in STAGES] == [1] * len(STAGES)
