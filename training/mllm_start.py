"""What the tiny MLLM starts from: heads that copy, and a projector that speaks the vocabulary.

Copying a name out of a block takes two layers that work together, one head that looks at the token before
and one that looks for where the present token stood before ("In-context Learning and Induction Heads",
2022). Training finds them late; here the first two layers start as such heads, and training goes on from there.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm
from transformers import LlavaForConditionalGeneration, PreTrainedTokenizerFast

from training.mllm_album import Album
from training.world.text import caption

SHARPNESS = 6.3
"""Of the heads that look back: about 4 in log-odds against the neighbouring tokens."""

MATCH = 1.5
ALIGN_STEPS, ALIGN_BATCH, ALIGN_RATE = 600, 256, 2e-3
GRID = 6


@torch.no_grad()
def start_copying(model: LlavaForConditionalGeneration, seed: int) -> None:
    """Make layer 0 look one and two tokens back, and layer 1 look for the same one or two tokens before.

    What layer 0 finds goes into two subspaces of 64 dimensions; the token's own identity is read from, and
    copied into, what is left of the 256. All other outputs start at zero.
    """
    layers = model.model.language_model.layers
    width, head = model.config.text_config.hidden_size, model.config.text_config.head_dim
    generator = torch.Generator().manual_seed(seed)
    basis, _ = torch.linalg.qr(torch.randn(width, width, generator=generator))
    one_back, two_back, own, more = basis.T.split(head)
    read, _ = torch.linalg.qr(torch.randn(width, head, generator=generator))
    for layer in layers:
        layer.self_attn.o_proj.weight.zero_()
        layer.mlp.down_proj.weight.zero_()
    first, second = layers[0].self_attn, layers[1].self_attn
    norm = float(model.get_input_embeddings().weight.norm(dim=1).mean())
    rates = _rates(model)
    for number, (place, back) in enumerate(((one_back, 1), (two_back, 2))):
        rows = slice(number * head, (number + 1) * head)
        first.q_proj.weight[rows] *= 0.1
        first.k_proj.weight[rows] *= 0.1
        first.q_proj.bias[rows] = SHARPNESS * torch.cat([torch.ones_like(rates), torch.zeros_like(rates)])
        first.k_proj.bias[rows] = SHARPNESS * torch.cat([(rates * back).cos(), (rates * back).sin()])
        first.v_proj.weight[rows] = read.T
        first.o_proj.weight[:, rows] = place.T * (2 * norm / math.sqrt(head))
    slow = torch.cat([torch.arange(head // 4, head // 2), torch.arange(3 * head // 4, head)])
    squeeze = torch.linalg.qr(torch.randn(head, head, generator=generator))[0]
    half = head // 4
    asks = (squeeze[: 2 * half] @ read.T, torch.cat([squeeze[:half] @ read.T, squeeze[half : 2 * half] @ one_back]))
    keys = (squeeze[: 2 * half] @ one_back, torch.cat([squeeze[:half] @ one_back, squeeze[half : 2 * half] @ two_back]))
    for number, (ask, key, identity) in enumerate(zip(asks, keys, (own, more), strict=True)):
        rows = slice(number * head, (number + 1) * head)
        for projection, found in ((second.q_proj, ask), (second.k_proj, key)):
            projection.weight[rows] *= 0.1
            projection.weight[rows][slow] = MATCH * found
        second.v_proj.weight[rows] = identity
        second.o_proj.weight[:, rows] = identity.T


def _rates(model: LlavaForConditionalGeneration) -> Tensor:
    """The angle each pair of a head's dimensions turns by a token: float32, (head / 2,)."""
    rates: Tensor = model.model.language_model.rotary_emb.inv_freq
    return rates.float()


@torch.no_grad()
def whiten(model: LlavaForConditionalGeneration, features: Tensor) -> None:
    """Let the projector begin with inputs of mean 0 and deviation 1, which its first layer takes care of."""
    sample = features[:: max(1, len(features) // 2000)].float().flatten(0, 1)
    mean, deviation = sample.mean(0), sample.std(0) + 1e-3
    first, second = model.model.multi_modal_projector.linear_1, model.model.multi_modal_projector.linear_2
    torch.nn.init.normal_(first.weight, std=len(mean) ** -0.5)
    first.weight.div_(deviation)
    first.bias.copy_(-first.weight @ mean)
    torch.nn.init.normal_(second.weight, std=float(model.get_input_embeddings().weight.std()) * len(first.bias) ** -0.5)
    second.bias.zero_()


def align(
    model: LlavaForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    album: Album,
    features: Tensor,
    seed: int,
    steps: int = ALIGN_STEPS,
) -> list[dict[str, float]]:
    """Teach the projector alone to land near the embeddings of the words for what is there.

    The class token of a picture of one thing, and the patch at a thing's middle, each against the tokens of
    its caption. No language model is run, so a step costs a hundredth of one of training.
    """
    whiten(model, features)
    rng = np.random.default_rng([seed, 4])
    places, tokens, targets = _words_at(tokenizer, album)
    projector = model.model.multi_modal_projector
    table = model.get_input_embeddings().weight.detach()
    gain = model.model.language_model.norm.weight.detach()
    optimiser = torch.optim.AdamW(projector.parameters(), lr=ALIGN_RATE, weight_decay=0.01)
    curve, recent = [], 0.0
    progress = tqdm(range(steps), desc="align", mininterval=10)
    for step in progress:
        optimiser.param_groups[0]["lr"] = ALIGN_RATE * 0.5 * (1 + math.cos(math.pi * step / steps))
        chosen = rng.integers(len(places), size=ALIGN_BATCH)
        spoken = projector(features[places[chosen], tokens[chosen]].float())
        scores = 2 * functional.rms_norm(spoken, spoken.shape[-1:]) * gain @ table.T
        loss = functional.cross_entropy(scores, targets[chosen])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        recent = loss.item() if step == 0 else 0.95 * recent + 0.05 * loss.item()
        if step % 50 == 0:
            progress.set_postfix(loss=f"{recent:.3f}")
            curve.append({"step": step, "loss": round(recent, 4)})
    return curve


def _words_at(tokenizer: PreTrainedTokenizerFast, album: Album) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures, tokens in them (0 is the class token), and shares over the vocabulary: (n,), (n,), (n, size)."""
    spots = [(place, 0, thing) for thing, avatars in enumerate(album.avatars) for place in avatars]
    for shown in album.shown:
        for thing, (x, y) in zip(shown.things, shown.middles, strict=True):
            patch = 1 + min(GRID - 1, int(y * GRID)) * GRID + min(GRID - 1, int(x * GRID))
            spots.append((shown.picture, patch, thing))
        if len(shown.things) == 1:
            spots.append((shown.picture, 0, shown.things[0]))
    words = []
    for thing in album.things:
        said = " " + caption(thing).split(" ", 1)[1].replace(" with ", " ")
        ids = torch.tensor(tokenizer(said, add_special_tokens=False).input_ids)
        words.append(functional.one_hot(ids, len(tokenizer)).float().mean(0))
    place, token, thing_of = (torch.tensor(column) for column in zip(*spots, strict=True))
    return place, token, torch.stack(words)[thing_of]
