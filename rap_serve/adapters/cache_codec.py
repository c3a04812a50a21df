"""Libraries and features as bytes: msgpack with a schema version, never pickle, so a cache can run no code."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

from rap_serve.domain.concept import Avatar, Concept, EmbeddingSpace, Owner, Vector
from rap_serve.domain.library import Library
from rap_serve.domain.ports import Features
from rap_serve.domain.region import BoxXyxy, Region

SCHEMA = 3
_MALFORMED = (ValueError, TypeError, LookupError, msgpack.UnpackException)


def encode_library(owner: Owner, library: Library) -> bytes:
    """All of ``library``; embeddings bit by bit."""
    concepts = [
        [
            c.id,
            c.name,
            c.category,
            c.info,
            c.info_generated,
            dict(c.metadata),
            c.version,
            c.created_at,
            c.updated_at,
            c.write_id,
            [[a.id, a.image_key, a.size_bytes, a.picture_size, a.box_xyxy, a.shows] for a in c.avatars],
            bool(c.embeddings(library.space.version)),
        ]
        for c in library.concepts
    ]
    space = [library.space.version, library.space.dim]
    return _packed(["library", owner.scope, space, concepts, *_matrix_fields(library.matrix)])


def decode_library(owner: Owner, data: bytes) -> Library | None:
    """The library; None for bytes of another schema, of another owner, or of no sense."""
    try:
        scope, packed_space, packed_concepts, shape, raw = _unpacked("library", data)
        space = EmbeddingSpace(str(packed_space[0]), int(packed_space[1]))
        if scope != owner.scope:
            return None
        matrix = _matrix(shape, raw)
        concepts, row = [], 0
        for (
            id_,
            name,
            category,
            info,
            generated,
            metadata,
            version,
            created,
            updated,
            write_id,
            avatars,
            seen,
        ) in packed_concepts:
            rows: Sequence[Mapping[str, Vector]] = [{} for _ in avatars]
            if seen:
                rows = [{space.version: vector} for vector in matrix[row : row + len(avatars)]]
            row += len(avatars) if seen else 0
            concepts.append(
                Concept(
                    id=id_,
                    owner=owner,
                    name=name,
                    category=category,
                    info=info,
                    info_generated=generated,
                    metadata=metadata,
                    version=version,
                    created_at=created,
                    updated_at=updated,
                    write_id=write_id,
                    avatars=tuple(
                        Avatar(
                            id=a_id,
                            image_key=key,
                            size_bytes=size_bytes,
                            picture_size=(size[0], size[1]),
                            box_xyxy=box and _box(box),
                            embeddings=embeddings,
                            shows=shows,
                        )
                        for (a_id, key, size_bytes, size, box, shows), embeddings in zip(avatars, rows, strict=True)
                    ),
                )
            )
        return Library.over(tuple(concepts), matrix, space) if row == len(matrix) else None
    except _MALFORMED:
        return None


def encode_features(features: Features) -> bytes:
    """All of ``features``; embeddings bit by bit."""
    regions = [[r.box_xyxy, r.label, r.score] for r in features.regions]
    return _packed(["features", regions, *_matrix_fields(features.embeddings)])


def decode_features(data: bytes) -> Features | None:
    """The features; None for bytes of another schema or of no sense."""
    try:
        regions, shape, raw = _unpacked("features", data)
        return Features(tuple(Region(_box(b), label, score) for b, label, score in regions), _matrix(shape, raw))
    except _MALFORMED:
        return None


def _packed(fields: list[Any]) -> bytes:
    return bytes(msgpack.packb([SCHEMA, *fields], unicode_errors="surrogatepass"))


def _unpacked(kind: str, data: bytes) -> list[Any]:
    schema, found, *fields = msgpack.unpackb(data, unicode_errors="surrogatepass")
    if schema != SCHEMA or found != kind:
        raise ValueError("another schema")
    return list(fields)


def _matrix_fields(matrix: NDArray[np.float32]) -> list[Any]:
    return [list(matrix.shape), matrix.astype("<f4", copy=False).tobytes()]


def _matrix(shape: list[int], raw: bytes) -> NDArray[np.float32]:
    return np.frombuffer(raw, dtype="<f4").reshape(shape)


def _box(box: list[float]) -> BoxXyxy:
    return (box[0], box[1], box[2], box[3])
