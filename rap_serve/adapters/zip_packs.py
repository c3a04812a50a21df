"""Packs as zip archives, read and written in memory. Nothing of one is ever a path on a disk."""

import io
import json
import zipfile
from collections.abc import Iterable, Iterator
from typing import Any

from rap_serve.domain.errors import InvalidInput, NotFound, TooLarge
from rap_serve.domain.pack import BOXES_FILE, DATABASE_FILE, LIST_FILE, PackLine, from_database, listed

MAX_FILES = 200_000
MAX_LIST_BYTES = 64_000_000


class ZipPack:
    """An archive of concepts. Files are unpacked one at a time, each checked against its limit first."""

    def __init__(self, data: bytes, *, picture_bytes: int) -> None:
        """Raises InvalidInput or TooLarge for what is no archive of concepts."""
        try:
            self._archive = zipfile.ZipFile(io.BytesIO(data))
        except zipfile.BadZipFile:
            raise InvalidInput("This is not a zip archive.") from None
        self._picture_bytes = picture_bytes
        names = self._archive.namelist()
        if len(names) > MAX_FILES:
            raise TooLarge(f"An archive has at most {MAX_FILES:,} files.")
        lists = [n for n in names if n.rsplit("/", 1)[-1] in (LIST_FILE, DATABASE_FILE)]
        if not lists:
            raise InvalidInput(f"The archive has neither {LIST_FILE} nor {DATABASE_FILE}.")
        self._list = min(lists, key=lambda n: (n.count("/"), n))
        self._folder = self._list.rpartition("/")[0]
        self._names = set(names)

    def lines(self) -> Iterator[PackLine]:
        """What it lists, in order; raises InvalidInput where that is no list of concepts."""
        text = self._text(self._list)
        if self._list.endswith(LIST_FILE):
            yield from listed(text.splitlines())
            return
        boxes = self._in_folder(BOXES_FILE)
        yield from from_database(_json(text), _json(self._text(boxes)) if boxes in self._names else {})

    def picture(self, name: str) -> bytes:
        """A file of the archive. Raises NotFound, or TooLarge before anything is unpacked."""
        found = next((n for n in self._candidates(name) if n in self._names), None)
        if found is None:
            raise NotFound(f"The archive has no picture {name!r}.")
        return self._read(found, self._picture_bytes)

    def _candidates(self, name: str) -> Iterator[str]:
        """Paths are relative to the list's folder or to any folder above it, as RAP's are.

        The folder right above may be missing from the archive, which was then made inside of it.
        """
        folder = self._folder
        while folder:
            yield f"{folder}/{name}"
            folder = folder.rpartition("/")[0]
        yield name
        yield self._in_folder(name.partition("/")[2])

    def _in_folder(self, name: str) -> str:
        return f"{self._folder}/{name}" if self._folder else name

    def _text(self, name: str) -> str:
        try:
            return self._read(name, MAX_LIST_BYTES).decode()
        except UnicodeDecodeError:
            raise InvalidInput(f"{name} is not UTF-8.") from None

    def _read(self, name: str, limit: int) -> bytes:
        if self._archive.getinfo(name).file_size > limit:
            raise TooLarge(f"{name} has more than {limit:,} bytes.")
        try:
            with self._archive.open(name) as file:
                data = file.read(limit + 1)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError):
            raise InvalidInput(f"{name} cannot be unpacked.") from None
        if len(data) > limit:
            raise TooLarge(f"{name} has more than {limit:,} bytes.")
        return data


def zipped(lines: Iterable[str], pictures: Iterable[tuple[str, bytes]]) -> bytes:
    """An archive of our list and its pictures; the same content gives the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in pictures:
            archive.writestr(zipfile.ZipInfo(name), data)
        info = zipfile.ZipInfo(LIST_FILE)
        info.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(info, "\n".join(lines) + "\n")
    return buffer.getvalue()


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise InvalidInput(f"{DATABASE_FILE} is not JSON.") from None
