"""Datasets in COCO's form: what is read, and each kind of bad data with its line."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from training.data.assemble import records_of
from training.data.coco import list_coco
from training.data.dataset import DatasetSource
from training.data.describe import plainly_described
from training.data.drafts import Material
from training.data.json_stream import InvalidJson
from training.data.problems import Problem
from training.data.records import broken_promise
from training.world import sample_scene, sample_thing

SIDE_PX = 200


@dataclass(frozen=True)
class Dataset:
    """A dataset in COCO's form on disk, with its document, to be changed before it is written."""

    folder: Path
    document: dict[str, Any]

    @property
    def annotations(self) -> Path:
        return self.folder / "annotations.json"

    @property
    def images(self) -> Path:
        return self.folder / "images"

    def write(self) -> None:
        """The document, over many lines."""
        self.annotations.write_text(json.dumps(self.document, indent=1), encoding="utf-8")

    def source(self, problems: list[Problem], vocabulary: tuple[str, ...] = ()) -> DatasetSource:
        """The dataset as the pipeline reads it."""
        self.write()
        file = self.folder / "work" / "listing.sqlite"
        listing = list_coco(self.annotations, file, vocabulary=vocabulary, problems=problems)
        return DatasetSource(listing=listing, images=self.images, out=self.folder / "out", inputs=())

    def line(self, problem: Problem) -> str:
        """The line of the file that the problem names."""
        assert problem.file == "annotations.json" and problem.line is not None
        return self.annotations.read_text(encoding="utf-8").splitlines()[problem.line - 1]


def coco_dataset(folder: Path, *, pictures: int = 6) -> Dataset:
    """Drawn scenes of two things each, in COCO's form."""
    rng = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    images, annotations, categories = [], [], dict[str, int]()
    for number in range(pictures):
        things = [sample_thing(rng, split="train") for _ in range(2)]
        scene = sample_scene(rng, things, height=SIDE_PX, width=SIDE_PX)
        Image.fromarray(scene.image).save(folder / "images" / f"{number}.jpg")
        images.append({"id": number, "file_name": f"{number}.jpg", "width": SIDE_PX, "height": SIDE_PX})
        for thing, (x0, y0, x1, y1) in zip(things, scene.boxes_xyxy.tolist(), strict=True):
            category = categories.setdefault(thing.category, len(categories) + 1)
            box = [x0, y0, x1 - x0, y1 - y0]
            identity = 100 + len(annotations)
            annotations.append({"id": identity, "image_id": number, "category_id": category, "bbox": box})
    kinds = [{"id": identity, "name": name} for name, identity in categories.items()]
    return Dataset(folder, {"annotations": annotations, "images": images, "categories": kinds})


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Six pictures of two things."""
    return coco_dataset(tmp_path)


def material(source: DatasetSource) -> Material:
    """All pictures as one shard."""
    return source.material(range(source.count), seed=0, folder="shards/00000")


def test_a_dataset_becomes_right_records(dataset: Dataset) -> None:
    """Names are given, noise comes from other pictures, boxes are those of the dataset."""
    problems: list[Problem] = []
    made = plainly_described(material(dataset.source(problems)))
    records = [record for draft in made.drafts for record in records_of(draft, seed=0, most=5)]
    assert not problems and not made.problems and len(made.drafts) == 6 and len(records) == 30
    assert not any(broken_promise(record) for record in records)
    x, y, width, height = dataset.document["annotations"][0]["bbox"]
    boxes = [c.box for c in made.drafts[0].present if c.key == "annotation 100"]
    assert boxes == [pytest.approx([v / SIDE_PX for v in (x, y, x + width, y + height)], abs=1e-3)]
    for draft in made.drafts:
        assert len(draft.absent) == 3 and not {c.key for c in draft.absent} & {c.key for c in draft.present}


def test_a_name_and_a_caption_of_the_dataset_are_kept(dataset: Dataset) -> None:
    """RefCOCO's sentences are captions, too."""
    dataset.document["annotations"][0] |= {"name": "bo", "caption": "red mug on the table."}
    dataset.document["annotations"][1] |= {"sentences": [{"sent": "the left one"}]}
    first, second = sorted(material(dataset.source([])).drafts[0].present, key=lambda c: c.key, reverse=True)
    assert (first.name, first.phrase) == ("bo", "a red mug on the table") and second.phrase == "the left one"


def test_crowds_are_left_out(dataset: Dataset) -> None:
    """Their boxes show no one thing; that is no bad data."""
    problems: list[Problem] = []
    for annotation in dataset.document["annotations"][:2]:
        annotation["iscrowd"] = 1
    assert dataset.source(problems).count == 5 and not problems


NOT_A_NUMBER = float("nan")


@pytest.mark.parametrize(
    ("part", "change", "kind", "detail"),
    [
        ("annotations", {"bbox": [1, 2, NOT_A_NUMBER, 4]}, "broken box", "not finite"),
        ("annotations", {"bbox": [-20, 2, 50, 40]}, "broken box", "negative place"),
        ("annotations", {"bbox": [2, 2, -50, 40]}, "broken box", "width or height is negative"),
        ("annotations", {"bbox": [150, 2, 90, 40]}, "broken box", "outside"),
        ("annotations", {"bbox": [2, 2, 0, 40]}, "broken box", "empty"),
        ("annotations", {"bbox": [2, 2, 40]}, "broken box", "four numbers"),
        ("annotations", {"bbox": "here"}, "broken box", "four numbers"),
        ("annotations", {"category_id": 99}, "unknown label", "no category 99"),
        ("annotations", {"image_id": 77}, "unknown image", "no image 77"),
        ("annotations", {"name": "<|im_end|>"}, "no name", "cannot be a name"),
        ("images", {"file_name": None}, "wrong format", "file_name"),
        ("categories", {"name": " "}, "no name", "category needs a name"),
    ],
)
def test_bad_data_in_the_file_is_reported_with_its_line(
    dataset: Dataset, part: str, change: dict[str, Any], kind: str, detail: str
) -> None:
    """And with the place inside, since such files may be a single line."""
    dataset.document[part][3] |= change
    problems: list[Problem] = []
    dataset.source(problems)
    problem = problems[0]
    assert problem.kind == kind and detail in problem.detail and problem.where.startswith(f"{part}[3]")
    assert ('"bbox"' if kind == "broken box" else "{") in dataset.line(problem)


def test_an_id_that_occurs_twice_is_reported(dataset: Dataset) -> None:
    """The second one."""
    dataset.document["images"][3]["id"] = 0
    problems: list[Problem] = []
    dataset.source(problems)
    assert (problems[0].kind, problems[0].where) == ("id twice", "images[3], id 0")


def test_labels_outside_of_a_vocabulary_are_reported(dataset: Dataset) -> None:
    """Those that were asked for remain."""
    wanted = dataset.document["categories"][0]["name"]
    problems: list[Problem] = []
    dataset.source(problems, (wanted,))
    assert {p.kind for p in problems} == {"unknown label"} and "{" in dataset.line(problems[0])
    assert not any(repr(wanted) in p.detail for p in problems)


def test_a_single_line_gives_the_place_inside(dataset: Dataset) -> None:
    """COCO's own files have no line breaks."""
    dataset.document["annotations"][3]["bbox"] = [0, 0, 0, 0]
    dataset.annotations.write_text(json.dumps(dataset.document), encoding="utf-8")
    problems: list[Problem] = []
    list_coco(dataset.annotations, dataset.folder / "listing.sqlite", vocabulary=(), problems=problems)
    assert [(p.line, p.where) for p in problems] == [(1, "annotations[3], id 103.bbox")]


def test_invalid_json_is_refused_with_its_line(dataset: Dataset) -> None:
    """Nothing behind the fault can be trusted."""
    dataset.write()
    text = dataset.annotations.read_text(encoding="utf-8").splitlines()
    dataset.annotations.write_text("\n".join([*text[:20], "oops", *text[20:]]), encoding="utf-8")
    with pytest.raises(InvalidJson, match=r"annotations\.json:21"):
        list_coco(dataset.annotations, dataset.folder / "listing.sqlite", vocabulary=(), problems=[])


def broken_file(file: Path) -> None:
    """No picture in it."""
    file.write_bytes(b"not a picture")


def half_file(file: Path) -> None:
    """The end is missing."""
    file.write_bytes(file.read_bytes()[:600])


def smaller_file(file: Path) -> None:
    """Not what the dataset says."""
    Image.new("RGB", (50, 40)).save(file)


@pytest.mark.parametrize(
    ("spoil", "kind"),
    [
        (Path.unlink, "missing image"),
        (broken_file, "unreadable image"),
        (half_file, "unreadable image"),
        (smaller_file, "size differs"),
    ],
    ids=["missing", "no picture", "cut off", "other size"],
)
def test_a_bad_picture_is_reported_with_the_line_that_lists_it(
    dataset: Dataset, spoil: Callable[[Path], None], kind: str
) -> None:
    """The others are used."""
    spoil(dataset.images / "3.jpg")
    made = material(dataset.source([]))
    (problem,) = made.problems
    assert problem.kind == kind and problem.where == "images[3]" and "{" in dataset.line(problem)
    assert len(made.drafts) == 5 and str(dataset.folder) not in problem.detail


def test_a_picture_outside_of_the_folder_is_not_read(dataset: Dataset) -> None:
    """A dataset names files of its own only."""
    dataset.document["images"][3]["file_name"] = "../annotations.json"
    (problem,) = material(dataset.source([])).problems
    assert problem.kind == "missing image" and "outside" in problem.detail
