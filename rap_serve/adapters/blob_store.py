"""Pictures at rest, in a folder or in any store that fsspec can reach (``s3://bucket/prefix`` and so on)."""

import asyncio
import contextlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import fsspec

from rap_serve.domain.concept import Owner
from rap_serve.domain.errors import InvalidInput, NotFound, Unavailable
from rap_serve.domain.ports import NewBlob

T = TypeVar("T")

FILES_AT_ONCE = 64  # that are open

_EXTENSIONS = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp", "application/octet-stream": "bin"}
_MEDIA_TYPES = {extension: media_type for media_type, extension in _EXTENSIONS.items()}
_FILE_NAME = re.compile(rf"[0-9a-f]{{64}}\.({'|'.join(_MEDIA_TYPES)})")


class FsspecBlobStore:
    """Blobs under ``<tenant>/<user>/<digest>.<extension>``, which is also the key.

    A blob is there as a whole or not at all, and when ``put`` returns it survives a power cut: in a folder
    through a synced temporary file and a rename, elsewhere through the store's own promise.
    """

    def __init__(self, url: str) -> None:
        """``url``: a path, or a URL of fsspec's; relative paths are taken from the working directory."""
        self._files, root = fsspec.core.url_to_fs(url)
        self._root = str(root).rstrip("/")
        self._is_local = self._files.protocol[0] == "file"

    async def put(self, owner: Owner, digest: str, data: bytes, media_type: str) -> str:
        """See BlobStore; ``digest``: sha256 in hexadecimal."""
        return (await self.put_all(owner, [NewBlob(digest, data, media_type)]))[0]

    async def put_all(self, owner: Owner, blobs: Sequence[NewBlob]) -> list[str]:
        """See BlobStore."""
        names = [_name(blob) for blob in blobs]
        files = {name: blob.data for name, blob in zip(names, blobs, strict=True)}
        await self._in_thread(lambda: self._write(owner.scope, files))
        return [f"{owner.scope}/{name}" for name in names]

    async def get(self, owner: Owner, key: str) -> tuple[bytes, str]:
        """See BlobStore."""
        if not _belongs(owner, key):
            raise NotFound("There is no such picture here.")
        data: bytes = await self._in_thread(lambda: self._read(key))
        return data, _MEDIA_TYPES[key.rsplit(".", 1)[1]]

    async def delete(self, owner: Owner, keys: Sequence[str]) -> None:
        """See BlobStore."""
        mine = [k for k in keys if _belongs(owner, k)]
        if mine:
            await self._in_thread(lambda: self._remove(mine))

    async def keys(self, owner: Owner) -> list[str]:
        """See BlobStore."""
        return await self._in_thread(lambda: self._listed(owner))

    def _listed(self, owner: Owner) -> list[str]:
        folder = self._path(owner.scope)
        if not self._files.exists(folder):
            return []
        found = (str(path).rsplit("/", 1)[-1] for path in self._files.find(folder))
        return sorted(f"{owner.scope}/{name}" for name in found if _FILE_NAME.fullmatch(name))

    def _write(self, folder: str, files: Mapping[str, bytes]) -> None:
        if self._is_local:
            names = list(files)
            for start in range(0, len(names), FILES_AT_ONCE):
                part = names[start : start + FILES_AT_ONCE]
                write_durably(Path(self._path(folder)), {name: files[name] for name in part})
            return
        for name, data in files.items():
            self._files.pipe_file(self._path(f"{folder}/{name}"), data)

    def _read(self, key: str) -> bytes:
        try:
            return bytes(self._files.cat_file(self._path(key)))
        except FileNotFoundError:
            raise NotFound("There is no such picture here.") from None

    def _remove(self, keys: Sequence[str]) -> None:
        for key in keys:
            with contextlib.suppress(FileNotFoundError):
                self._files.rm_file(self._path(key))

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}"

    async def _in_thread(self, work: Callable[[], T]) -> T:
        with _translated():
            return await asyncio.to_thread(work)


def write_durably(folder: Path, files: Mapping[str, bytes]) -> None:
    """Writes files readable by their owner only; they and their folders are on the disk when this returns.

    The disk is told of all files before any is waited for, and of the folder once: that is several times as fast as
    one file after another.
    """
    made = [p for p in (folder, *folder.parents) if not p.exists()]
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with contextlib.ExitStack() as opened:
        written = []
        for name, data in files.items():
            descriptor, temporary = tempfile.mkstemp(dir=folder, prefix=".new-")
            opened.callback(Path(temporary).unlink, missing_ok=True)
            file = opened.enter_context(os.fdopen(descriptor, "wb"))
            file.write(data)
            file.flush()
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)  # begins to write out, and does not wait
            written.append((descriptor, Path(temporary), folder / name))
        for descriptor, _, _ in written:
            os.fsync(descriptor)
        for _, source, target in written:
            source.replace(target)
    for changed in (folder, *(p.parent for p in made)):
        _sync_folder(changed)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _name(blob: NewBlob) -> str:
    name = f"{blob.digest}.{_EXTENSIONS.get(blob.media_type, 'bin')}"
    if not _FILE_NAME.fullmatch(name):
        raise InvalidInput("A blob's digest is 64 hexadecimal digits.")
    return name


def _belongs(owner: Owner, key: str) -> bool:
    folder, _, name = key.rpartition("/")
    return folder == owner.scope and _FILE_NAME.fullmatch(name) is not None


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """The one seam at which a store's errors become ours."""
    try:
        yield
    except OSError as error:
        raise Unavailable(f"The picture store failed: {error.strerror or type(error).__name__}.") from error
