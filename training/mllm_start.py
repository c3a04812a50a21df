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
from transformers.models.llama.modeling_llama import LlamaAttention

from training.mllm_album import Album
from training.mllm_hints import HEADS
from training.mllm_pack import COPY, MATCH
from training.world.text import caption

SHARPNESS = 6.3
"""Of the heads that look back: about 4 in log-odds against the neighbouring tokens."""

MATCHING = 1.5
ALIGN_STEPS, ALIGN_BATCH, ALIGN_RATE = 1000, 256, 2e-3
GRID = 6


@torch.no_grad()
def start_copying(model: LlavaForConditionalGeneration, seed: int) -> None:
    """Make layer 0 look one and two tokens back, and later heads look tokens up by what stands before them.

    What layer 0 finds goes into two subspaces of 64 dimensions; the token's own identity is read from, and
    copied into, what is left of the 256. Two heads of layer 1 and the head that will be told what to copy look
    for where the present token stood before, and the head that will be told where a name stands looks for the
    same token after the same token. All other outputs start at zero.
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
    norm = float(model.get_input_embeddings().weight.norm(dim=1).mean())
    for number, (place, back) in enumerate(((one_back, 1), (two_back, 2))):
        _look_back(layers[0].self_attn, number, back, _rates(model))
        rows = slice(number * head, (number + 1) * head)
        layers[0].self_attn.v_proj.weight[rows] = read.T
        layers[0].self_attn.o_proj.weight[:, rows] = place.T * (2 * norm / math.sqrt(head))
    squeeze = torch.linalg.qr(torch.randn(head, head, generator=generator))[0]
    whole, some, others = squeeze[: head // 2], squeeze[: head // 4], squeeze[head // 4 : head // 2]
    after_it = whole @ read.T, whole @ one_back
    after_both = torch.cat([some @ read.T, others @ one_back]), torch.cat([some @ one_back, others @ two_back])
    same = torch.cat([some @ read.T, others @ one_back])
    for (layer, number), (ask, key), copied in (
        ((1, 0), after_it, own),
        ((1, 1), after_both, more),
        (HEADS[COPY], after_both, own),
        (HEADS[MATCH], (same, same), None),
    ):
        _look_up(layers[layer].self_attn, number, ask, key, copied)


def _look_back(attention: LlamaAttention, number: int, back: int, rates: Tensor) -> None:
    """Make the head look ``back`` tokens back, whatever they are."""
    rows = slice(number * attention.head_dim, (number + 1) * attention.head_dim)
    attention.q_proj.weight[rows] *= 0.1
    attention.k_proj.weight[rows] *= 0.1
    attention.q_proj.bias[rows] = SHARPNESS * torch.cat([torch.ones_like(rates), torch.zeros_like(rates)])
    attention.k_proj.bias[rows] = SHARPNESS * torch.cat([(rates * back).cos(), (rates * back).sin()])


def _look_up(attention: LlamaAttention, number: int, ask: Tensor, key: Tensor, copied: Tensor | None) -> None:
    """Make the head look where ``key`` finds what ``ask`` finds here, through dimensions that hardly turn.

    ``ask``, ``key``: (head / 2, width). ``copied``: the subspace that it copies as it is, (head, width).
    """
    head = attention.head_dim
    rows = slice(number * head, (number + 1) * head)
    slow = torch.cat([torch.arange(head // 4, head // 2), torch.arange(3 * head // 4, head)])
    for projection, found in ((attention.q_proj, ask), (attention.k_proj, key)):
        projection.weight[rows] *= 0.1
        projection.weight[rows][slow] = MATCHING * found
    if copied is not None:
        attention.v_proj.weight[rows] = copied
        attention.o_proj.weight[:, rows] = copied.T


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
            progress.set_postfix(align=f"{recent:.3f}")
            curve.append({"step": step, "align": round(recent, 4)})
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
