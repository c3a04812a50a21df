"""What a workload needs, by hand and by order."""

import os
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.scale.__main__ import changed
from loadtest.scale.accelerators import accelerator_seconds, prefill_flops, sequences, step_seconds
from loadtest.scale.need import copy_bytes, features_bytes, held_by_gateway, need, row_bytes
from loadtest.scale.workload import GROUPED_8B, Accelerator, Costs, Mllm, Prices, Workload
from rap_serve.adapters.cache_codec import encode_features, encode_library
from rap_serve.adapters.catalogue.owners import AesSeal
from rap_serve.adapters.milvus_schema import avatar_rows, key_of, record_row
from rap_serve.adapters.sealed_memory import SealedMemory
from rap_serve.domain.concept import Avatar, Concept, EmbeddingSpace, Owner, new_ulid
from rap_serve.domain.library import Library
from rap_serve.domain.ports import Features
from rap_serve.domain.region import Region

LOADS = st.builds(
    Workload,
    users=st.floats(1e2, 1e7),
    concepts=st.floats(1e3, 1e9),
    rate=st.floats(1, 1e4),
    again=st.floats(0, 0.9),
)
ROUND = Costs(
    accelerator=Accelerator(flops=1e15, bytes_per_s=1e12, memory_bytes=1e11, decoding=1.0, prefill=0.5, held=1.0),
    mllm=Mllm(name="round", parameters=1e10, kv_bytes=1e5),
)


def concept(dim: int, avatars: int) -> Concept:
    """One as users have them."""
    vector = np.full(dim, dim**-0.5, np.float32)
    shown = [
        Avatar(
            id=new_ulid(),
            image_key=f"ab/{'c' * 64}.jpg",
            size_bytes=200_000,
            picture_size=(1280, 960),
            box_xyxy=(100.123, 200.456, 300.7, 400.2),
            embeddings={"s": vector},
        )
        for _ in range(avatars)
    ]
    return Concept(
        id=new_ulid(),
        owner=Owner("tenant-0123456789", "user-0123456789"),
        name="grandmas-teapot",
        category="teapot",
        info="x" * 120,
        version=1,
        created_at=1_700_000_000_000,
        updated_at=1_700_000_000_000,
        avatars=tuple(shown),
        write_id=new_ulid(),
    )


def bytes_of(row: dict[str, object]) -> int:
    """What the fields of a row take: texts in UTF-8, numbers in 8 bytes, vectors in float32."""

    def size(value: object) -> int:
        if isinstance(value, int):
            return 8
        return len(value.encode()) if isinstance(value, str) else 4 * len(value)  # type: ignore[arg-type]

    return sum(map(size, row.values()))


class Below:
    """A memory that keeps what it is given, and seals to close it with."""

    def __init__(self, owner: Owner) -> None:
        self._seal = AesSeal(1, owner.scope, os.urandom(32))
        self.closed: list[Concept] = []

    async def made(self, owner: Owner) -> AesSeal:
        """See Seals."""
        return self._seal

    async def put(self, concept: Concept, **_: object) -> None:
        """See ConceptMemory."""
        self.closed.append(concept)


@pytest.mark.parametrize(("dim", "avatars"), [(512, 1), (768, 1), (768, 3), (1_280, 2)])
async def test_rows_are_as_large_as_the_memory_makes_them(dim: int, avatars: int) -> None:
    """The formula against the rows that a sealed concept is stored as."""
    whole = concept(dim, avatars)
    below = Below(whole.owner)
    await SealedMemory(below, below, space=EmbeddingSpace("s", dim)).put(whole, expected_version=None)  # type: ignore[arg-type]
    row = record_row(below.closed[0], key_of("s"), [a.embeddings["s"] for a in whole.avatars])
    stored = bytes_of(row) + sum(bytes_of(r) for r in avatar_rows(row, now_ms=1))
    assert row_bytes(avatars, Costs(dim=dim)) == pytest.approx(stored, rel=0.02)


@pytest.mark.parametrize(("dim", "avatars"), [(768, 1), (512, 2)])
def test_copies_are_as_large_as_the_cache_makes_them(dim: int, avatars: int) -> None:
    """The formula against a library and a picture's features as Redis gets them."""
    concepts = [concept(dim, avatars) for _ in range(100)]
    library = encode_library(concepts[0].owner, Library.of(concepts, EmbeddingSpace("s", dim)))
    assert copy_bytes(100, avatars, Costs(dim=dim)) == pytest.approx(len(library), rel=0.02)
    features = Features(tuple(Region((1.0, 2.0, 3.0, 4.0), "teapot", 0.9) for _ in range(8)), np.zeros((8, dim)))
    packed = encode_features(Features(features.regions, features.embeddings.astype(np.float32)))
    assert features_bytes(8, Costs(dim=dim)) == pytest.approx(len(packed), rel=0.02)


def test_a_thousand_concepts_by_hand() -> None:
    """1,000 concepts of 768 numbers: 8,318 bytes of rows and 881 of an earlier version each."""
    stores = need(Workload(users=10, concepts=1_000, rate=1)).stores
    assert stores.milvus_rows == pytest.approx(1_000 * (811 + 339 + 7_168 + 881))
    assert stores.milvus_memory == pytest.approx(1.2 * stores.milvus_rows)
    assert stores.pictures == 200e6


def test_an_engine_by_hand() -> None:
    """A terabyte a second reads 20 GB of weights and 64 prompts of 1,000 tokens at 0.1 MB in 26.7 ms."""
    load = Workload(prompt_tokens=1_000, answer_tokens=100, again=0.5)
    assert load.computed_tokens == pytest.approx(744)
    assert prefill_flops(load, ROUND) == pytest.approx(2e10 * 744 + 1.5 * 382e9)
    assert sequences(load, ROUND) == 64
    assert step_seconds(load, ROUND) == pytest.approx((20e9 + 64 * 1_050 * 1e5) / 1e12)
    seconds = accelerator_seconds(load, ROUND)
    assert seconds["prefill"] == pytest.approx(prefill_flops(load, ROUND) / 5e14)
    assert seconds["decoding"] == pytest.approx(100 * 0.02672 / 64)


def test_a_model_that_does_not_fit_is_said() -> None:
    """Rather than served by less than one sequence."""
    with pytest.raises(ValueError, match="does not fit"):
        need(Workload(), replace(ROUND, mllm=Mllm(name="huge", parameters=1e12, kv_bytes=1e5)))


def test_one_gateway_holds_what_a_session_has_read() -> None:
    """All but its first request; of many gateways hardly ever the same one is asked twice."""
    load = Workload(a_session=4)
    assert held_by_gateway(load, 1) == pytest.approx(0.75)
    assert held_by_gateway(load, 2) == pytest.approx(1 - 2 * (1 - 1 / 16) / 4)
    assert held_by_gateway(load, 10_000) == pytest.approx(0, abs=1e-3)


@given(LOADS, st.floats(1, 10))
def test_more_users_never_need_fewer_bytes(load: Workload, times: float) -> None:
    """Nor fewer accelerators, clusters or dollars; all that is asked for grows with them."""
    more = replace(load, users=load.users * times, concepts=load.concepts * times, rate=load.rate * times)
    less, found = need(load), need(more)
    for name in ("milvus_rows", "milvus_memory", "pictures", "redis", "redis_working", "catalogue"):
        assert getattr(found.stores, name) >= getattr(less.stores, name) * (1 - 1e-9)
    for name in ("gateways", "detectors", "embedders", "engines", "accelerators", "cores"):
        assert getattr(found.serving, name) >= getattr(less.serving, name)
    assert found.clusters >= less.clusters
    assert found.money.total >= less.money.total * (1 - 1e-9)


@given(LOADS)
def test_pictures_seen_before_never_cost_more(load: Workload) -> None:
    """Neither detector nor embedder nor gateway has more to do with them."""
    found, again = need(load), need(replace(load, again=1.0))
    assert again.serving.embedders <= found.serving.embedders
    assert again.serving.cores <= found.serving.cores
    assert again.traffic.pixels == 0


@given(LOADS)
def test_clusters_are_enough_for_every_limit(load: Workload) -> None:
    """And one fewer would not be."""
    found = need(load)
    assert all(part <= found.clusters for part in found.parts.values())
    assert found.clusters == 1 or found.clusters - 1 < found.parts[found.first_to_break]


def test_grouped_keys_let_an_accelerator_answer_more() -> None:
    """Less is read a token, and less is multiplied."""
    load = Workload(rate=1e3)
    assert need(load, Costs(mllm=GROUPED_8B)).serving.engines < need(load).serving.engines


def test_money_is_linear_in_its_prices() -> None:
    """Twice the price, twice the bill."""
    load = Workload()
    once = need(load, prices=Prices(accelerator_hour=2.0)).money.accelerators
    assert need(load, prices=Prices(accelerator_hour=4.0)).money.accelerators == pytest.approx(2 * once)


def test_fields_are_changed_by_name() -> None:
    """As the command line does; whole numbers stay whole, and what is no field is refused."""
    assert changed(Costs(), ["sequences=16", "dim=512"]).sequences == 16
    assert changed(Workload(), ["again=0.8"]).again == 0.8
    with pytest.raises(SystemExit, match="nothing"):
        changed(Costs(), ["nothing=1"])
