"""What models take of an accelerator: forwards and prompts what they multiply, tokens of an answer what they read."""

import math

from loadtest.scale.workload import Costs, Workload


def accelerator_seconds(load: Workload, costs: Costs) -> dict[str, float]:
    """Of one request, by model: of a new picture for detector and embedder, of any for the MLLM."""
    device = costs.accelerator
    return {
        "detector": costs.detector_flops / (device.flops * device.convolutions),
        "embedder": load.regions * costs.crop_flops / (device.flops * device.transformer),
        "prefill": prefill_flops(load, costs) / (device.flops * device.prefill * costs.mllm.parallel),
        "decoding": load.answer_tokens * step_seconds(load, costs) / sequences(load, costs),
    }


def prefill_flops(load: Workload, costs: Costs) -> float:
    """Two a weight and token that is not held, and the encodings of pictures, all but those of the share again."""
    encoded = 1 - load.again + load.shown * (1 - load.again)
    return 2 * costs.mllm.parameters * load.computed_tokens + encoded * costs.crop_flops


def sequences(load: Workload, costs: Costs) -> int:
    """How many answers an engine writes at once: what its memory holds, and no more than it is allowed."""
    device, mllm = costs.accelerator, costs.mllm
    room = device.held * device.memory_bytes * mllm.parallel - mllm.parameters * mllm.bytes_a_parameter
    fits = math.floor(room / (mllm.kv_bytes * (load.prompt_tokens + load.answer_tokens)))
    if fits < 1:
        raise ValueError(f"{mllm.name} does not fit {mllm.parallel} {device.name}.")
    return min(costs.sequences, fits)


def step_seconds(load: Workload, costs: Costs) -> float:
    """One token of all sequences: weights, keys and values are read once."""
    device, mllm = costs.accelerator, costs.mllm
    read = mllm.kv_bytes * (load.prompt_tokens + load.answer_tokens / 2) * sequences(load, costs)
    read += mllm.parameters * mllm.bytes_a_parameter
    return read / (device.bytes_per_s * device.decoding * mllm.parallel)
