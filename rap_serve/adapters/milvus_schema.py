"""How concepts lie in Milvus: three collections, and values to and from their rows.

``concepts`` has one row per concept, version and embedder with all of it, embeddings included, so that one insert
is the commit and one query the library. Rows of one version differ in their embeddings only. ``avatars`` has one row
per embedding, for vector search only; what its rows mean is decided by the version that the concept's newest row
carries. ``history`` has one row per version that was replaced, without embeddings.
"""

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pymilvus import CollectionSchema, DataType, FieldSchema

from rap_serve.domain.concept import HALF_CHARACTER, Avatar, Concept, ConceptVersion, Owner, Vector, fold_name

Row: TypeAlias = dict[str, Any]

PART_BYTES = 65_535  # the longest VARCHAR that Milvus allows
BODY_PARTS = 2
VECTOR_PARTS = 3
MAX_DIM = PART_BYTES * VECTOR_PARTS * 3 // 4 // (16 * 4)  # 16 avatars of float32 in base64

BODY_FIELDS = tuple(f"body_{i}" for i in range(BODY_PARTS))
VECTOR_FIELDS = tuple(f"embeddings_{i}" for i in range(VECTOR_PARTS))
HEAD_FIELDS = ("pk", "scope", "concept_id", "version", "embedder", "name_key", "avatar_count")
VERSION_FIELDS = ("concept_id", "version", *BODY_FIELDS)
RECORD_FIELDS = (*VERSION_FIELDS, "embedder", *VECTOR_FIELDS)
WHOLE_FIELDS = tuple(dict.fromkeys((*HEAD_FIELDS, *RECORD_FIELDS)))


@dataclass(frozen=True, slots=True)
class Records:
    """All rows of an owner but those for vector search, which follow from them; in the order of their keys."""

    concepts: tuple[Row, ...] = ()
    history: tuple[Row, ...] = ()

    @classmethod
    def of(cls, concepts: Sequence[Row], history: Sequence[Row]) -> "Records":
        """These rows, in any order."""
        return cls(*(tuple(sorted(map(dict, rows), key=lambda r: str(r["pk"]))) for rows in (concepts, history)))

    @property
    def digest(self) -> str:
        """Equal for equal rows: sha256 in hexadecimal."""
        return hashlib.sha256(json.dumps([self.concepts, self.history], sort_keys=True).encode()).hexdigest()


def concepts_schema(*, partitioned: bool) -> CollectionSchema:
    """Milvus wants a vector in every collection; this one's says nothing."""
    fields = [
        *_common_fields(partitioned=partitioned),
        FieldSchema("name_key", DataType.VARCHAR, max_length=64),
        FieldSchema("avatar_count", DataType.INT64),
        *_text_fields((*BODY_FIELDS, *VECTOR_FIELDS)),
        _no_vector(),
    ]
    return CollectionSchema(fields, enable_dynamic_field=False)


def avatars_schema(dim: int, *, partitioned: bool) -> CollectionSchema:
    """Vectors to search, each naming the concept version that it belongs to."""
    fields = [
        *_common_fields(partitioned=partitioned),
        FieldSchema("avatar_id", DataType.VARCHAR, max_length=64),
        FieldSchema("written_at", DataType.INT64),
        FieldSchema("vector", DataType.FLOAT_VECTOR, dim=dim),
    ]
    return CollectionSchema(fields, enable_dynamic_field=False)


def history_schema(*, partitioned: bool) -> CollectionSchema:
    """The texts of earlier versions; the vector says nothing."""
    fields = [*_key_fields(partitioned=partitioned), *_text_fields(BODY_FIELDS), _no_vector()]
    return CollectionSchema(fields, enable_dynamic_field=False)


def _common_fields(*, partitioned: bool) -> list[FieldSchema]:
    return [*_key_fields(partitioned=partitioned), FieldSchema("embedder", DataType.VARCHAR, max_length=64)]


def _key_fields(*, partitioned: bool) -> list[FieldSchema]:
    return [
        FieldSchema("pk", DataType.VARCHAR, is_primary=True, auto_id=False, max_length=64),
        FieldSchema("scope", DataType.VARCHAR, max_length=160, is_partition_key=partitioned),
        FieldSchema("concept_id", DataType.VARCHAR, max_length=64),
        FieldSchema("version", DataType.INT64),
    ]


def _text_fields(names: Sequence[str]) -> list[FieldSchema]:
    return [FieldSchema(name, DataType.VARCHAR, max_length=PART_BYTES) for name in names]


def _no_vector() -> FieldSchema:
    return FieldSchema("vector", DataType.FLOAT_VECTOR, dim=2)


def key_of(*parts: object) -> str:
    """A fixed-length name for ``parts``: equal parts, equal key."""
    return hashlib.sha256(json.dumps([str(p) for p in parts]).encode("utf-8", "surrogatepass")).hexdigest()[:40]


def name_key(name: str) -> str:
    """Equal for names that an owner may not have twice."""
    return key_of(fold_name(name))


def record_row(concept: Concept, embedder: str, embeddings: Sequence[Vector]) -> Row:
    """The row that is the concept, as ``embedder`` has seen it: one embedding an avatar, or none."""
    scope = concept.owner.scope
    body = {
        "name": concept.name,
        "category": concept.category,
        "info": concept.info,
        "info_generated": concept.info_generated,
        "metadata": dict(concept.metadata),
        "created_at": concept.created_at,
        "updated_at": concept.updated_at,
        "write_id": concept.write_id,
        "avatars": [[a.id, a.image_key, a.size_bytes, a.picture_size, a.box_xyxy, a.shows] for a in concept.avatars],
    }
    return {
        "pk": record_pk(scope, concept.id, concept.version, embedder),
        "scope": scope,
        "concept_id": concept.id,
        "embedder": embedder,
        "version": concept.version,
        "name_key": name_key(concept.name),
        "avatar_count": len(concept.avatars),
        "vector": [0.0, 0.0],
        **_parts(_json(body), BODY_FIELDS),
        **_packed(embeddings),
    }


def with_embeddings(record: Row, embedder: str, embeddings: Sequence[Vector]) -> Row:
    """The same version of the concept, as ``embedder`` has seen it."""
    pk = record_pk(record["scope"], record["concept_id"], record["version"], embedder)
    return {**record, "pk": pk, "embedder": embedder, "vector": [0.0, 0.0], **_packed(embeddings)}


def record_pk(scope: str, concept_id: str, version: int, embedder: str) -> str:
    """The key of a concept's version, as ``embedder`` has seen it."""
    return key_of(scope, concept_id, version, embedder)


def avatar_rows(record: Row, *, now_ms: int) -> list[Row]:
    """The rows that let the concept of a record row be found by vector; none where it has no embeddings."""
    vectors = embeddings_of(record)
    if not vectors.size:
        return []
    shared = {field: record[field] for field in ("scope", "concept_id", "embedder", "version")}
    named = zip(avatar_pks(record), avatar_ids(record), vectors, strict=True)
    return [{"pk": pk, **shared, "avatar_id": id_, "written_at": now_ms, "vector": v.tolist()} for pk, id_, v in named]


def avatar_pks(record: Row) -> list[str]:
    """The keys of all avatars of a record row, by their places in it."""
    whose = record["scope"], record["concept_id"], record["version"], record["embedder"]
    return [key_of(*whose, place) for place in range(record["avatar_count"])]


def history_row(record: Row, owner: Owner) -> Row:
    """What stays of a record row that is replaced."""
    return {
        "pk": history_pk(owner.scope, record["concept_id"], record["version"]),
        "scope": owner.scope,
        "vector": [0.0, 0.0],
        **{field: record[field] for field in VERSION_FIELDS},
    }


def history_pk(scope: str, concept_id: str, version: int) -> str:
    """The key of an earlier version."""
    return key_of(scope, concept_id, version)


def version_of(row: Row) -> ConceptVersion:
    """The version that a row of ``concepts`` or ``history`` holds."""
    body = _body(row)
    return ConceptVersion(
        version=row["version"],
        name=body["name"],
        category=body["category"],
        info=body["info"],
        metadata=body["metadata"],
        avatar_ids=tuple(avatar_id for avatar_id, *_, shows in body["avatars"] if shows),
        updated_at=body["updated_at"],
        write_id=body["write_id"],
    )


def embeddings_of(row: Mapping[str, Any]) -> NDArray[np.float32]:
    """The embeddings that a record row holds: (avatars, dim), with a dim of 0 where there are none."""
    raw = base64.b64decode("".join(row[f] for f in VECTOR_FIELDS))
    vectors: NDArray[np.float32] = np.frombuffer(raw, dtype="<f4")
    count = len(_body(row)["avatars"])
    return vectors.reshape(count, len(vectors) // max(1, count))


def concept_of(row: Mapping[str, Any], owner: Owner, version: str) -> Concept:
    """The concept that a record row holds, with embeddings if they are of the space of that version."""
    body = _body(row)
    vectors = embeddings_of(row)
    usable = row["embedder"] == key_of(version) and vectors.size > 0
    embeddings = [{version: vector} if usable else {} for vector in vectors]
    return Concept(
        id=row["concept_id"],
        owner=owner,
        name=body["name"],
        category=body["category"],
        info=body["info"],
        info_generated=body["info_generated"],
        metadata=body["metadata"],
        version=row["version"],
        created_at=body["created_at"],
        updated_at=body["updated_at"],
        write_id=body["write_id"],
        avatars=tuple(
            Avatar(
                id=avatar_id,
                image_key=key,
                size_bytes=size_bytes,
                picture_size=(size[0], size[1]),
                box_xyxy=_box(box),
                embeddings=known,
                shows=shows,
            )
            for (avatar_id, key, size_bytes, size, box, shows), known in zip(body["avatars"], embeddings, strict=True)
        ),
    )


def avatar_ids(record: Row) -> list[str]:
    """The avatars of a record row, in the order of its embeddings."""
    return [avatar[0] for avatar in _body(record)["avatars"]]


def known_embeddings(record: Row) -> dict[str, Vector]:
    """The embeddings that a record row holds, by avatar."""
    vectors = embeddings_of(record)
    return dict(zip(avatar_ids(record), vectors, strict=True)) if vectors.size else {}


def newest(rows: Sequence[Row], *, embedder: str = "") -> list[Row]:
    """Of each concept, the row of the highest version; of several, that of ``embedder``."""
    heads: dict[str, Row] = {}
    for row in sorted(rows, key=lambda r: (r["version"], r.get("embedder") == embedder)):
        heads[row["concept_id"]] = row
    return list(heads.values())


def of_owner(owner: Owner) -> str:
    """The condition that every query and search carries."""
    return f"scope == {literal(owner.scope)}"


def one_of(concept_ids: Iterable[str]) -> str:
    """The condition that a row belongs to one of these concepts."""
    return f"concept_id in [{', '.join(literal(i) for i in sorted(concept_ids))}]"


def literal(text: str) -> str:
    """A quoted literal of Milvus' filter language. ``text``: validated ids and hashes only."""
    return json.dumps(text)


def _packed(embeddings: Sequence[Vector]) -> dict[str, str]:
    return _parts(base64.b64encode(np.array(embeddings, "<f4").tobytes()).decode(), VECTOR_FIELDS)


def _body(row: Mapping[str, Any]) -> Any:
    return json.loads("".join(row[f] for f in BODY_FIELDS))


def _box(box: Sequence[float] | None) -> tuple[float, float, float, float] | None:
    return None if box is None else (box[0], box[1], box[2], box[3])


def _json(value: object) -> str:
    """JSON that is also valid UTF-8: lone surrogates, which Python's strings may hold, stay escaped."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return HALF_CHARACTER.sub(lambda m: f"\\u{ord(m[0]):04x}", text)


def _parts(text: str, fields: Sequence[str]) -> dict[str, str]:
    """``text`` cut into pieces of at most PART_BYTES of UTF-8, one for each of ``fields``."""
    parts: dict[str, str] = {}
    for field in fields:
        parts[field] = text.encode()[:PART_BYTES].decode(errors="ignore")
        text = text[len(parts[field]) :]
    if text:
        raise ValueError("A concept is larger than its limits allow.")
    return parts
