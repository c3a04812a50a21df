"""Checkpoint folders read and written a shard at a time, and what an adapter adds to a matrix."""

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from training.lora_merge import Delta, module_name, read_deltas
from training.lora_shards import ShardWriter, draft_of, read_tensors, weight_files


def written(folder: Path, count: int, *, shard_bytes: int) -> dict[str, torch.Tensor]:
    """``count`` tensors of 400 bytes in the folder."""
    tensors = {f"t{i}": torch.full((10, 10), float(i)) for i in range(count)}
    writer = ShardWriter(folder, shard_bytes=shard_bytes)
    for name, value in tensors.items():
        writer.add(name, value)
    writer.close()
    return tensors


@pytest.mark.parametrize(("shard_bytes", "files"), [(10_000, 1), (1_000, 3), (400, 5), (1, 5)])
def test_what_was_written_is_read_back(tmp_path: Path, shard_bytes: int, files: int) -> None:
    """In as many shards as the limit asks for, no tensor cut."""
    tensors = written(tmp_path, 5, shard_bytes=shard_bytes)
    assert len(weight_files(tmp_path)) == files
    read = dict(read_tensors(tmp_path))
    assert read.keys() == tensors.keys()
    assert all(torch.equal(read[name], value) for name, value in tensors.items())


def test_a_slice_does_not_drag_its_whole_along(tmp_path: Path) -> None:
    """Only the rows that were added reach the disk."""
    writer = ShardWriter(tmp_path)
    writer.add("rows", torch.zeros(1000, 1000)[:2])
    writer.close()
    assert (tmp_path / "model.safetensors").stat().st_size < 20_000


def test_a_tensor_cannot_be_added_twice(tmp_path: Path) -> None:
    """The second would hide the first."""
    writer = ShardWriter(tmp_path)
    writer.add("a", torch.zeros(1))
    with pytest.raises(ValueError, match="a was there already"):
        writer.add("a", torch.zeros(1))


def test_a_tensor_that_the_index_promises_has_to_come(tmp_path: Path) -> None:
    """A shard that lost one is noticed."""
    written(tmp_path, 5, shard_bytes=1_000)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    index["weight_map"]["t9"] = index["weight_map"]["t0"]
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match="in no shard: t9"):
        dict(read_tensors(tmp_path))


def test_a_failed_draft_leaves_nothing(tmp_path: Path) -> None:
    """Neither the folder nor a part of it."""
    with pytest.raises(RuntimeError), draft_of(tmp_path / "out") as draft:
        (draft / "half").write_text("x")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("rank_stabilised", "scale"), [(False, 2.0), (True, 8 / math.sqrt(4))])
def test_a_pair_is_scaled_as_its_adapter_says(tmp_path: Path, rank_stabilised: bool, scale: float) -> None:
    """Alpha over rank, or over its root."""
    config = {"r": 4, "lora_alpha": 8, "use_rslora": rank_stabilised}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    down, up = torch.randn(4, 6), torch.randn(5, 4)
    pair = {"base_model.model.a.b.lora_A.weight": down, "base_model.model.a.b.lora_B.weight": up}
    save_file(pair, tmp_path / "adapter_model.safetensors")
    weight = torch.randn(5, 6)
    assert torch.allclose(read_deltas(tmp_path)["a.b"].added_to(weight), weight + scale * up @ down, atol=1e-5)


def test_a_pair_of_another_shape_is_refused() -> None:
    """Before anything is added."""
    with pytest.raises(ValueError, match="does not fit"):
        Delta(torch.zeros(4, 6), torch.zeros(5, 4), 1.0).added_to(torch.zeros(6, 5))


@pytest.mark.parametrize("setting", [{"use_dora": True}, {"bias": "all"}, {"modules_to_save": ["lm_head"]}])
def test_an_adapter_that_is_more_than_pairs_is_refused(tmp_path: Path, setting: dict[str, object]) -> None:
    """What could not be carried over would be lost."""
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 4, "lora_alpha": 8, **setting}))
    with pytest.raises(ValueError, match="not supported"):
        read_deltas(tmp_path)


def test_half_a_pair_is_refused(tmp_path: Path) -> None:
    """The module is named."""
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 4, "lora_alpha": 8}))
    save_file({"base_model.model.a.b.lora_A.weight": torch.zeros(4, 6)}, tmp_path / "adapter_model.safetensors")
    with pytest.raises(ValueError, match=r"one half of a\.b"):
        read_deltas(tmp_path)


@pytest.mark.parametrize(
    ("stored", "loaded"),
    [
        ("language_model.model.layers.0.mlp.up_proj.weight", "model.language_model.layers.0.mlp.up_proj.weight"),
        ("model.language_model.layers.0.mlp.up_proj.weight", "model.language_model.layers.0.mlp.up_proj.weight"),
        ("model.layers.0.mlp.up_proj.weight", "model.language_model.layers.0.mlp.up_proj.weight"),
        ("multi_modal_projector.linear_1.bias", "model.multi_modal_projector.linear_1.bias"),
        ("visual.merger.mlp.0.weight", "model.visual.merger.mlp.0.weight"),
        ("model.visual.merger.mlp.0.weight", "model.visual.merger.mlp.0.weight"),
        ("language_model.lm_head.weight", "lm_head.weight"),
    ],
)
def test_old_and_new_names_mean_the_same_module(stored: str, loaded: str) -> None:
    """LLaVA's and Qwen-VL's, as published and as transformers 5 saves them."""
    assert module_name(stored) == loaded
