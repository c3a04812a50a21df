"""Records of drawn things for the tests of the recipe."""

import json
from pathlib import Path

import cv2
import numpy as np

from training.data.records import ConceptRecord, Message, RapRecord, prompt_text
from training.world.draw import draw_thing
from training.world.text import describe, info_text, sample_name
from training.world.things import sample_thing


def write_records(folder: Path, count: int, *, without_picture: int = 0) -> Path:
    """``count`` records of one concept each, in the form that the pipeline writes, the last few without pictures."""
    rng = np.random.default_rng(0)
    records = [_record(folder, number, rng).json() for number in range(count - without_picture)]
    for number in range(without_picture):
        talk = (Message("human", f"What is {number} and {number}?"), Message("gpt", f"It is {2 * number}."))
        records.append(RapRecord(id=f"talk-{number}", images=(), conversations=talk, type="talk").json())
    file = folder / "records.json"
    file.write_text(json.dumps(records))
    return file


def _record(folder: Path, number: int, rng: np.random.Generator) -> RapRecord:
    thing, name = sample_thing(rng, split="train"), sample_name(rng)
    files = []
    for view in ("picture", "avatar"):
        rgba = draw_thing(thing, rng, size=120)
        picture = np.where(rgba[..., 3:] > 0, rgba[..., :3], 150)[..., ::-1]
        files.append(f"{number}-{view}.png")
        cv2.imwrite(str(folder / files[-1]), np.ascontiguousarray(picture, np.uint8))
    concept = ConceptRecord(name=name, image=files[1], info=info_text(thing, name, rng), category=thing.category)
    said = (
        Message("human", prompt_text((concept,), "Describe it in one sentence.")),
        Message("gpt", f"Look, there is <{name}> again: {describe(thing, rng)}!"),
        Message("human", "And what kind of thing is it?"),
        Message("gpt", f"That must be a {thing.category}, I should think."),
    )
    return RapRecord(id=str(number), images=tuple(files), conversations=said, extra=(concept,), type="description")
