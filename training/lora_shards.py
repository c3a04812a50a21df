"""The weights of a checkpoint folder, one tensor at a time, so that a large model never stands in memory whole."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

SHARD_BYTES = 2_000_000_000
_INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_SINGLES = ("model.safetensors", "pytorch_model.bin")


def read_json(file: Path) -> dict[str, Any]:
    """The object in the file; FileNotFoundError names the file, ValueError what is wrong in it."""
    try:
        content = json.loads(file.read_text())
    except json.JSONDecodeError as problem:
        raise ValueError(f"{file}: {problem}") from problem
    if not isinstance(content, dict):
        raise ValueError(f"{file} holds no object")
    return content


def weight_files(folder: Path) -> list[Path]:
    """The files that hold the folder's weights; FileNotFoundError where there are none or a shard is missing."""
    index = next((folder / name for name in _INDEXES if (folder / name).exists()), None)
    if index is None:
        single = next((folder / name for name in _SINGLES if (folder / name).exists()), None)
        if single is None:
            raise FileNotFoundError(f"{folder} holds no weights: none of {', '.join(_INDEXES + _SINGLES)}")
        return [single]
    files = [folder / name for name in sorted(set(read_json(index)["weight_map"].values()))]
    absent = [file.name for file in files if not file.exists()]
    if absent:
        raise FileNotFoundError(f"{index} lists shards that are missing: {', '.join(absent)}")
    return files


def read_tensors(folder: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor of the folder by its name, shard by shard; ValueError where the index promises others."""
    found: set[str] = set()
    for file in weight_files(folder):
        for name, value in read_file(file):
            found.add(name)
            yield name, value
    index = next((folder / name for name in _INDEXES if (folder / name).exists()), None)
    absent = sorted(set(read_json(index)["weight_map"]) - found) if index else []
    if absent:
        raise ValueError(f"{index} lists tensors that are in no shard: {some_of(absent)}")


def read_file(file: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor of a ``.safetensors`` or ``.bin`` file, mapped rather than read. No code in the file is run."""
    if file.suffix == ".safetensors":
        with safe_open(str(file), framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118 - not a dict
                yield name, opened.get_tensor(name)
        return
    yield from torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file)).items()


def some_of(names: list[str], *, count: int = 8) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more


@contextmanager
def draft_of(out: Path) -> Iterator[Path]:
    """A folder to write in that becomes ``out`` once all went well, and is gone otherwise.

    FileExistsError where ``out`` holds something already.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"{out} is there already; name a folder that is not")
    draft = out.parent / f".{out.name}-draft"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        yield draft
        draft.replace(out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


class ShardWriter:
    """Writes tensors into safetensors shards; holds at most one shard in memory. ``close`` names the files."""

    def __init__(self, folder: Path, *, shard_bytes: int = SHARD_BYTES) -> None:
        self._folder = folder
        self._limit = shard_bytes
        self._waiting: dict[str, torch.Tensor] = {}
        self._shards: list[list[str]] = []
        self._bytes = 0
        self._shapes: dict[str, tuple[int, ...]] = {}

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of everything added so far."""
        return self._shapes

    def add(self, name: str, value: torch.Tensor) -> None:
        """One more tensor; ValueError where the name was there already."""
        if name in self._shapes:
            raise ValueError(f"{name} was there already")
        waiting = sum(each.nbytes for each in self._waiting.values())
        if self._waiting and waiting + value.nbytes > self._limit:
            self._flush()
        whole = value.untyped_storage().nbytes() == value.nbytes
        self._waiting[name] = value.detach().contiguous() if whole else value.detach().clone().contiguous()
        self._shapes[name] = tuple(value.shape)
        self._bytes += value.nbytes

    def close(self) -> None:
        """Write what waits, and the index where there is more than one shard."""
        self._flush()
        total = len(self._shards)
        if total == 1:
            self._draft(1).rename(self._folder / "model.safetensors")
            return
        places: dict[str, str] = {}
        for number, names in enumerate(self._shards, 1):
            file = f"model-{number:05d}-of-{total:05d}.safetensors"
            self._draft(number).rename(self._folder / file)
            places |= dict.fromkeys(names, file)
        index = {"metadata": {"total_size": self._bytes}, "weight_map": dict(sorted(places.items()))}
        (self._folder / _INDEXES[0]).write_text(json.dumps(index, indent=2) + "\n")

    def _flush(self) -> None:
        if self._waiting:
            self._shards.append(list(self._waiting))
            file = self._draft(len(self._shards))
            save_file(self._waiting, file, metadata={"format": "pt"})
            file.chmod(0o644)
            self._waiting = {}

    def _draft(self, number: int) -> Path:
        return self._folder / f"shard-{number:05d}.safetensors"
