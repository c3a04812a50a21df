"""What every picture store promises: a folder, and a store behind fsspec."""

import asyncio
import hashlib
from pathlib import Path

import pytest

from rap_serve.adapters.blob_store import FILES_AT_ONCE, FsspecBlobStore
from rap_serve.adapters.catalogue.owners import SqlOwners
from rap_serve.adapters.sealed_blobs import SealedBlobStore
from rap_serve.domain.concept import Owner, new_ulid
from rap_serve.domain.errors import InvalidInput, NotFound, Unavailable
from rap_serve.domain.ports import BlobStore, NewBlob

DATA = b"\xff\xd8 a picture \x00\n"
DIGEST = hashlib.sha256(DATA).hexdigest()


def files_under(folder: Path) -> list[Path]:
    """Every file, however deep."""
    return [p for p in folder.rglob("*") if p.is_file()]


@pytest.fixture(params=["folder", "memory", "sealed"])
async def blobs(request: pytest.FixtureRequest, tmp_path: Path, owners: SqlOwners) -> BlobStore:
    """Each kind of store."""
    if request.param == "memory":
        return FsspecBlobStore(f"memory://{new_ulid()}")
    folder = FsspecBlobStore(str(tmp_path / "blobs"))
    return SealedBlobStore(folder, owners) if request.param == "sealed" else folder


@pytest.mark.parametrize(
    ("media_type", "extension"), [("image/jpeg", "jpg"), ("image/png", "png"), ("image/webp", "webp")]
)
async def test_what_was_stored_comes_back(blobs: BlobStore, owner: Owner, media_type: str, extension: str) -> None:
    """Bytes and media type, under a key that names owner and content."""
    key = await blobs.put(owner, DIGEST, DATA, media_type)
    assert key == f"{owner.scope}/{DIGEST}.{extension}"
    assert await blobs.get(owner, key) == (DATA, media_type)


async def test_many_are_stored_together(blobs: BlobStore, owner: Owner) -> None:
    """More than are ever open at once, one of them twice; their keys come in order, and nothing else is left."""
    numbers = [*range(FILES_AT_ONCE + 5), 0]
    wanted = [NewBlob(hashlib.sha256(bytes([n])).hexdigest(), bytes([n]), "image/png") for n in numbers]
    keys = await blobs.put_all(owner, wanted)
    assert [(await blobs.get(owner, key))[0] for key in keys] == [bytes([n]) for n in numbers]
    assert await blobs.keys(owner) == sorted(set(keys))
    assert await blobs.put_all(owner, []) == []


async def test_a_bad_one_among_many_leaves_nothing(blobs: BlobStore, owner: Owner) -> None:
    """A name is checked before anything is written."""
    with pytest.raises(InvalidInput):
        await blobs.put_all(owner, [NewBlob(DIGEST, DATA, "image/png"), NewBlob("../up", DATA, "image/png")])
    assert await blobs.keys(owner) == []


async def test_the_same_bytes_are_kept_once(blobs: BlobStore, owner: Owner) -> None:
    """Even when stored many times at once."""
    keys = await asyncio.gather(*(blobs.put(owner, DIGEST, DATA, "image/png") for _ in range(8)))
    assert len(set(keys)) == 1
    assert (await blobs.get(owner, keys[0]))[0] == DATA


async def test_the_keys_of_others_are_not_found(blobs: BlobStore, owner: Owner) -> None:
    """Neither to read nor to delete, a neighbour with a longer name included."""
    key = await blobs.put(owner, DIGEST, DATA, "image/png")
    for other in (Owner(owner.tenant, "somebody"), Owner(owner.tenant, owner.user + "x"), Owner("t", owner.user)):
        with pytest.raises(NotFound):
            await blobs.get(other, key)
        await blobs.delete(other, [key])
    assert (await blobs.get(owner, key))[0] == DATA


async def test_deleting_removes_what_is_there(blobs: BlobStore, owner: Owner) -> None:
    """What is not there already is no error."""
    key = await blobs.put(owner, DIGEST, DATA, "image/png")
    await blobs.delete(owner, [key, key.replace(".png", ".jpg"), "nonsense", "../../etc/passwd"])
    with pytest.raises(NotFound):
        await blobs.get(owner, key)
    await blobs.delete(owner, [key])


@pytest.mark.parametrize("name", ["../x.png", "..", "", f"{DIGEST}.exe", f"../{DIGEST}.png", f"{DIGEST}.png\n", "\x00"])
async def test_no_key_leads_elsewhere(blobs: BlobStore, owner: Owner, name: str) -> None:
    """Only names that the store gives itself are looked up."""
    with pytest.raises(NotFound):
        await blobs.get(owner, f"{owner.scope}/{name}")
    with pytest.raises(NotFound):
        await blobs.get(owner, name)


@pytest.mark.parametrize("digest", ["", "../x", DIGEST.upper(), DIGEST + "0", "g" * 64])
async def test_a_digest_that_is_none_is_refused(blobs: BlobStore, owner: Owner, digest: str) -> None:
    """It would become part of a path."""
    with pytest.raises(InvalidInput):
        await blobs.put(owner, digest, DATA, "image/png")


async def test_nothing_temporary_is_left_and_nobody_else_can_read(tmp_path: Path, owner: Owner) -> None:
    """One file per blob, private to the service."""
    blobs = FsspecBlobStore(str(tmp_path))
    await asyncio.gather(*(blobs.put(owner, f"{i:064x}", DATA, "image/png") for i in range(10)))
    files = files_under(tmp_path)
    assert len(files) == 10
    assert {p.stat().st_mode & 0o077 for p in files} == {0}


async def test_a_disk_that_refuses_is_unavailable(tmp_path: Path, owner: Owner) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "blobs").write_text("in the way")
    with pytest.raises(Unavailable):
        await FsspecBlobStore(str(tmp_path / "blobs")).put(owner, DIGEST, DATA, "image/png")


async def test_an_owners_pictures_are_listed(blobs: BlobStore, owner: Owner) -> None:
    """And nobody else's."""
    neighbour = Owner(owner.tenant, owner.user + "x")
    assert await blobs.keys(owner) == []
    mine = [await blobs.put(owner, hashlib.sha256(bytes([n])).hexdigest(), DATA, "image/png") for n in range(3)]
    await blobs.put(neighbour, DIGEST, DATA, "image/png")
    assert await blobs.keys(owner) == sorted(mine)


async def test_a_sealed_picture_is_on_no_disk_in_the_clear(tmp_path: Path, owner: Owner, owners: SqlOwners) -> None:
    """And gone for good with its owner's seal, even where its file is still there."""
    files = FsspecBlobStore(str(tmp_path / "blobs"))
    blobs = SealedBlobStore(files, owners)
    key = await blobs.put(owner, DIGEST, DATA, "image/png")
    assert all(b"picture" not in path.read_bytes() for path in files_under(tmp_path / "blobs"))
    assert (await blobs.get(owner, key))[0] == DATA
    await owners.erase(owner, None)
    reopened = SealedBlobStore(files, owners)
    with pytest.raises(NotFound):
        await reopened.get(owner, key)
    assert await reopened.keys(owner) == [key]
    new = await reopened.put(owner, hashlib.sha256(b"2").hexdigest(), DATA, "image/png")
    assert (await blobs.get(owner, new))[0] == DATA
    with pytest.raises(NotFound):
        await reopened.get(owner, key)
    assert await reopened.purge(owner) == 1
    assert await reopened.keys(owner) == [new] and (await reopened.get(owner, new))[0] == DATA
