"""What is asked of a cluster, and what one unit of it costs. Each cost says where it is from.

*measured*: on this project's own code, see docs/performance.md and docs/trust.md; *computed*: from shapes, by a test or
a formula; *assumed*: nobody has measured it here, change it. Bytes are decimal, seconds those of one core or one
accelerator.
"""

from dataclasses import dataclass, field

import numpy as np

COMPUTED = ((0.0, 0.987), (0.5, 0.744), (0.8, 0.544))
"""The share of pictures asked about again, and that of a prompt's tokens to compute; counted, layout ``rap``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """``rate``: chats about a picture a second, in the busiest hour. ``again``: the share whose picture its user has
    sent before. ``regions``: crops of a new picture, all of it included. ``shown``: concepts in a prompt.

    ``writes``: concepts stored or changed, per chat. ``versions``: earlier ones kept of a concept. ``a_session``: chats
    of a user in a row, within ``session_seconds``. ``mean``: the mean rate over that of the busiest hour.
    """

    users: float = 1e6
    concepts: float = 1e8
    rate: float = 1e3
    again: float = 0.5
    regions: float = 8
    shown: float = 2
    prompt_tokens: float = 1_757
    answer_tokens: float = 60
    picture_bytes: float = 200e3
    picture_pixels: float = 1280 * 960
    avatars: float = 1
    avatar_bytes: float = 200e3
    writes: float = 0.05
    versions: float = 1
    a_session: float = 4
    session_seconds: float = 600
    mean: float = 0.4

    @property
    def new(self) -> float:
        """New pictures a second."""
        return self.rate * (1 - self.again)

    @property
    def computed_tokens(self) -> float:
        """Of a prompt, those that no earlier prompt has left in the engine."""
        return self.prompt_tokens * float(np.interp(self.again, *zip(*COMPUTED, strict=True)))

    @property
    def library(self) -> float:
        """Concepts of a user."""
        return self.concepts / self.users


@dataclass(frozen=True, slots=True, kw_only=True)
class Mllm:
    """``kv_bytes``: keys and values of a token. ``parallel``: accelerators of one engine."""

    name: str
    parameters: float
    kv_bytes: float
    bytes_a_parameter: float = 2
    parallel: int = 1


RAP_LLAVA_13B = Mllm(name="LLaVA 13B", parameters=13.0e9, kv_bytes=0.82e6)
"""Computed: docs/real-models.md."""

GROUPED_8B = Mllm(name="8B, grouped keys", parameters=8e9, kv_bytes=4 * 32 * 8 * 128)
"""Computed from 32 layers with 8 heads of keys of 128 numbers, as several families have it."""

MLLMS = {"llava-13b": RAP_LLAVA_13B, "grouped-8b": GROUPED_8B}


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """``flops`` and ``bytes_per_s``: from an H200's data sheet, dense half precision. The shares are assumed.

    ``python -m loadtest.bench.roofline`` measures what detector and embedder reach of them; it has not run on one yet.
    """

    name: str = "H200"
    flops: float = 989e12
    bytes_per_s: float = 4.8e12
    memory_bytes: float = 141e9
    convolutions: float = 0.20
    transformer: float = 0.40
    prefill: float = 0.40
    decoding: float = 0.60
    held: float = 0.90


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Unit costs of the profile for accelerators: YOLO-Worldv2-X at 640 px, ViT-L-14-336, an MLLM by name."""

    accelerator: Accelerator = field(default_factory=Accelerator)
    mllm: Mllm = RAP_LLAVA_13B
    # computed: counted by torch on these networks (multiplications and additions)
    detector_flops: float = 273e9
    crop_flops: float = 382e9
    dim: int = 768
    # measured: docs/performance.md, tiny family, seconds of a core by process
    gateway_new: float = 0.023
    gateway_again: float = 0.014
    proxy: float = 0.006
    ray_new: float = 0.014
    ray_again: float = 0.005
    engine_replica_new: float = 0.014
    engine_replica_again: float = 0.009
    # measured by themselves, a JPEG of 1280 x 960, median of 15: decoding takes 5.7 ms, 1.5 of it in the figures above
    larger_picture: float = 0.0042
    letterbox: float = 0.0006
    crop: float = 0.0034
    # computed: what this project's own rows and copies take; tests hold the formulas against the code
    row_bytes: float = 811
    row_avatar_bytes: float = 339
    row_number_bytes: float = 28 / 3  # base64 of float32 in the concept's row, float32 again in the avatar's
    version_bytes: float = 881
    copy_concept_bytes: float = 224
    copy_avatar_bytes: float = 151
    region_bytes: float = 57
    # measured on Milvus Lite: 7 KB of memory for 6 KB of rows; assumed to hold for the server too
    loaded: float = 1.2
    # assumed: segments before and after compaction, the log
    stored: float = 1.5
    rows_scanned_per_s: float = 30e6
    partition_rows: float = 500e3
    owner_row_bytes: float = 400
    usage_row_bytes: float = 250
    reply_bytes: float = 1_500
    held_seconds: float = 3_600  # TTL of copies in Redis
    # how busy processors may be for waits to stay short: assumed
    busy_gateway: float = 0.5
    busy_core: float = 0.6
    busy_accelerator: float = 0.6
    sequences: int = 64
    # one set of services around one Redis, one catalogue and one Ray: assumed, measure yours
    redis_bytes: float = 100e9
    redis_bytes_per_s: float = 1.2e9
    redis_commands_per_s: float = 80e3
    statements_per_s: float = 20e3
    milvus_bytes: float = 1e12
    replicas: float = 1_000
    # read off the code
    most_shelves: int = 100
    partitions: int = 16
    commands: float = 6
    statements_unheld: float = 4
    statements_read: float = 2
    statements_write: float = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """US dollars, assumed on 2026-11-29 as round numbers for capacity rented by the hour; put your own in."""

    accelerator_hour: float = 3.0
    core_hour: float = 0.04
    memory_gb_hour: float = 0.004
    disk_gb_month: float = 0.08
    object_gb_month: float = 0.02
    million_object_reads: float = 0.4
    hours: float = 730
