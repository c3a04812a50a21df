"""The folder of a run: numbered shards, each there as a whole or not at all, and what joins them.

manifest.json        what the run makes; a folder takes no other settings
shards/00000/        records.jsonl, problems.jsonl and the pictures of the shard
records.json         all records in RAP's format, one a line, once every shard is there
index.json           the shards with their digests
problems.jsonl       all bad data
.descriptions/       what an endpoint said of each crop
.work/               unfinished shards and the dataset's listing; gone when the run is done
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from training.data.problems import Problem
from training.data.records import RECORDS, RapRecord

WORK = ".work"
DESCRIPTIONS = ".descriptions"
_MANIFEST, _INDEX, _PROBLEMS = "manifest.json", "index.json", "problems.jsonl"
_LOCK = ".lock"


class Refused(Exception):
    """A folder that cannot be used for this run."""


def shard_name(shard: int) -> str:
    """The folder of a shard."""
    return f"{shard:05d}"


@contextmanager
def claimed(out: Path) -> Iterator[None]:
    """The folder is this process's alone; raises Refused while another run writes to it."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(f"Another run is writing to {out}.") from None
        yield


def check_manifest(out: Path, settings: Mapping[str, Any]) -> None:
    """Make the folder one for these settings; raises Refused where it was begun with others."""
    file = out / _MANIFEST
    if not file.exists():
        strangers = [p.name for p in out.iterdir() if p.name not in (_LOCK, WORK, DESCRIPTIONS)]
        if strangers:
            raise Refused(f"{out} holds other things, {strangers[0]} among them. Choose an empty folder.")
        fingerprint = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
        write_text(file, json.dumps({"fingerprint": fingerprint, "settings": settings}, indent=1) + "\n")
        return
    begun = json.loads(file.read_text(encoding="utf-8"))["settings"]
    changed = [key for key in {**begun, **settings} if begun.get(key) != settings.get(key)]
    if changed:
        details = "; ".join(f"{key}: {begun.get(key)} there, {settings.get(key)} now" for key in changed)
        raise Refused(f"{out} was begun with other settings ({details}). Choose another folder, or remove it.")


def unfinished(out: Path, shards: int) -> list[int]:
    """The shards that are not there yet. Leftovers of a run that was killed are removed."""
    for leftover in (out / WORK).glob("shard-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    return [shard for shard in range(shards) if not _folder(out, shard).is_dir()]


def write_shard(
    out: Path, shard: int, records: Sequence[RapRecord], files: Mapping[str, bytes], problems: Sequence[Problem]
) -> None:
    """The shard's folder, which appears with everything in it."""
    final = _folder(out, shard)
    folder = out / WORK / f"shard-{shard_name(shard)}-{os.getpid()}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path, content in files.items():
        (folder / Path(path).relative_to(final.relative_to(out))).write_bytes(content)
    _write_lines(folder / "records.jsonl", [record.json() for record in records])
    _write_lines(folder / _PROBLEMS, [problem.json() for problem in problems])
    final.parent.mkdir(exist_ok=True)
    with suppress(FileExistsError):  # a worker that outlived a killed run was faster, with the same bytes
        try:
            folder.rename(final)
        except OSError as error:
            if not final.is_dir():
                raise
            raise FileExistsError(str(final)) from error
    shutil.rmtree(folder, ignore_errors=True)


def join_shards(out: Path, shards: int, listed: Sequence[Problem]) -> None:
    """Write what joins the shards: all records, all problems (those ``listed`` before first), the index."""
    rows = [_joined_row(out, shard) for shard in range(shards)]
    _write_joined(out / RECORDS, out, shards)
    problems = [problem.json() for problem in listed]
    for shard in range(shards):
        lines = (_folder(out, shard) / _PROBLEMS).read_text(encoding="utf-8").splitlines()
        problems += [json.loads(line) for line in lines]
    unfinished_file = out / WORK / _PROBLEMS
    unfinished_file.parent.mkdir(exist_ok=True)
    _write_lines(unfinished_file, problems)
    unfinished_file.replace(out / _PROBLEMS)
    total = sum(row["records"] for row in rows)
    write_text(out / _INDEX, json.dumps({"records": total, "shards": rows}, indent=1) + "\n")


def all_problems(out: Path) -> list[Problem]:
    """The bad data of a finished run."""
    lines = (out / _PROBLEMS).read_text(encoding="utf-8").splitlines()
    return [Problem(**json.loads(line)) for line in lines]


def tidied(out: Path) -> None:
    """Remove what only an unfinished run needs."""
    shutil.rmtree(out / WORK, ignore_errors=True)


def write_text(file: Path, text: str) -> None:
    """The file, whole."""
    new = file.with_name(f".{file.name}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(file)


def _joined_row(out: Path, shard: int) -> dict[str, Any]:
    content = (_folder(out, shard) / "records.jsonl").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return {"shard": shard_name(shard), "records": content.count(b"\n"), "sha256": digest}


def _write_joined(file: Path, out: Path, shards: int) -> None:
    """A JSON array with a record on each line, so that a line number says which."""
    new = file.with_name(f".{file.name}.new")
    with new.open("w", encoding="utf-8") as target:
        first = True
        for shard in range(shards):
            with (_folder(out, shard) / "records.jsonl").open(encoding="utf-8") as lines:
                for line in lines:
                    target.write(("[\n" if first else ",\n") + line.rstrip("\n"))
                    first = False
        target.write("[]\n" if first else "\n]\n")
    new.replace(file)


def _write_lines(file: Path, contents: Sequence[Mapping[str, Any]]) -> None:
    text = "".join(json.dumps(content, ensure_ascii=False) + "\n" for content in contents)
    file.write_text(text, encoding="utf-8")


def _folder(out: Path, shard: int) -> Path:
    return out / "shards" / shard_name(shard)
