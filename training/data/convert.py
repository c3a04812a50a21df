"""RAP's published records, with their concepts in the prompt, as one file of the form that runs write."""

from __future__ import annotations

import json
from pathlib import Path

from training.data.problems import Bad, Problem
from training.data.records import read_records


def convert(source: Path, target: Path, *, images: Path | None, bad: Bad, problems: list[Problem]) -> int:
    """Write the usable records of ``source`` to ``target``, whole; how many there are.

    ``images``: the folder of the pictures, where they are to be looked for. Raises BadData where bad data is to
    be refused.
    """
    new = target.with_name(f".{target.name}.new")
    count = 0
    with new.open("w", encoding="utf-8") as file:
        for record in read_records(source, bad=bad, problems=problems, images=images):
            file.write(("[\n" if count == 0 else ",\n") + json.dumps(record.json(), ensure_ascii=False))
            count += 1
        file.write("\n]\n" if count else "[]\n")
    new.replace(target)
    return count
