"""Attention, watched and kept: which places of a picture read which words.

A U-Net calls a processor in each attention layer, and diffusers lets us put in our own. `watch_attention` puts in one that calls
the old one for the output and computes the probabilities beside it; `keep_attention` one that uses the probabilities of another
run, the idea of prompt-to-prompt (Hertz and others 2022).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from ..arguments import door, kind_of, whole_number
from ..text import as_text, words_of
from .attention_maps import AttentionMaps, chosen_from


class _Processor:
    """Calls the processor that was there, then hands its output and what it was given to `then`, which returns the output."""

    def __init__(self, inner, then: Callable):
        self.inner, self.then = inner, then

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, temb=None):
        output = self.inner(attn, hidden_states, encoder_hidden_states, attention_mask, temb)
        return self.then(output, attn, hidden_states, encoder_hidden_states)


@contextmanager
def _replaced(unet, begin: Callable, then: Callable) -> Iterator[None]:
    """Wrap the processors of all layers that read the prompt: `then(name, output, ...)`; `begin(inputs)` at every call."""
    modules, before = dict(unet.named_modules()), unet.attn_processors
    wrapped = dict(before)
    for name, inner in before.items():
        if modules[name.removesuffix(".processor")].is_cross_attention:
            wrapped[name] = _Processor(inner, lambda *given, name=name: then(name.removesuffix(".processor"), *given))
    hook = unet.register_forward_pre_hook(lambda module, args, kwargs: begin(*args, **kwargs), with_kwargs=True)
    try:
        unet.set_attn_processor(wrapped)
        yield
    finally:
        hook.remove()
        unet.set_attn_processor(dict(before))


def attention_probabilities(attn, hidden_states, encoder_hidden_states) -> torch.Tensor:
    """softmax(Q K^T / sqrt(d)) of a cross-attention layer, from the layer's own parts.

    Args:
        attn: diffusers' Attention.
        hidden_states: (n, h * w, channels), the places.
        encoder_hidden_states: (n, 77, D), the prompt's vectors.

    Returns:
        (n, heads, h * w, 77), rows sum to 1.
    """
    query = attn.head_to_batch_dim(attn.to_q(hidden_states))  # (n * heads, h * w, d)
    key = attn.head_to_batch_dim(attn.to_k(encoder_hidden_states))  # (n * heads, 77, d)
    return attn.get_attention_scores(query, key).unflatten(0, (-1, attn.heads))


@contextmanager
def watch_attention(unet, *, num_images: int = 1, max_side: int = 32, heads: bool = False) -> Iterator[AttentionMaps]:
    """Record the cross-attention of every call of the U-Net inside the block; its output stays exactly as it was.

    Of each batch the last `num_images` rows are kept: in `denoise` and diffusers' pipelines the prompt's, with guidance or
    without. 50 steps of SD v1 take 50 MB at 512 x 512, with its largest layers (max_side=64) 207 MB; heads=True takes 8 times
    as much, so that max_side=16 is advisable (83 MB).

    Args:
        unet: a UNet2DConditionModel. It gets back the processors it had, also after an exception.
        num_images: how many pictures are drawn at a time.
        max_side: leave out layers with more places along a side.
        heads: keep the heads apart, which `keep_attention` needs; otherwise they are averaged at once.

    Yields:
        AttentionMaps, which grow with every call.

    Raises:
        ValueError: num_images or max_side is no whole number from 1.
    """
    _check_unet(unet)
    num_images, max_side = whole_number("num_images", num_images, 1), whole_number("max_side", max_side, 1)
    maps, latent = AttentionMaps(), {}

    def begin(sample, timestep, *args, **kwargs):
        if len(sample) < num_images:
            raise ValueError(f"num_images={num_images} is more than the {len(sample)} rows of this batch: give its pictures.")
        latent["size"] = tuple(sample.shape[-2:])
        maps.calls.append({})
        maps.timesteps.append(float(timestep))

    def watch(name, output, attn, hidden_states, encoder_hidden_states):
        size = _size(latent["size"], hidden_states.shape[1])
        if max(size) <= max_side:
            probs = attention_probabilities(attn, hidden_states[-num_images:], encoder_hidden_states[-num_images:])
            probs = probs if heads else probs.mean(dim=1)
            maps.calls[-1][name] = probs.detach().to("cpu", torch.float16).unflatten(-2, size)
        return output

    with _replaced(unet, begin, watch):
        yield maps


def _size(latent_size: tuple[int, int], places: int) -> tuple[int, int]:
    """Height and width of a layer with that many places: the latents' size, halved (rounding up) until it fits."""
    height, width = latent_size
    while height * width > places:
        height, width = -(-height // 2), -(-width // 2)
    return height, width


def _check_unet(unet) -> None:
    try:
        unet.attn_processors  # noqa: B018
    except AttributeError as error:
        raise ValueError(f"unet must be a UNet2DConditionModel, such as components.unet: {error}.") from None


@contextmanager
def keep_attention(unet, maps: AttentionMaps, *, steps=None) -> Iterator[None]:
    """Inside the block the U-Net uses kept probabilities in place of its own: same places, same positions, other words.

    Call i takes those of call i, in the layers that were watched, for the last n rows of the batch, which are the prompt's.

    Args:
        unet: a UNet2DConditionModel; it gets back the processors it had, also after an exception.
        maps: from `watch_attention(unet, heads=True)`, over a run with as many steps and pictures.
        steps: the calls in which to use them, counted from 0; None takes all.

    Raises:
        ValueError: empty maps, or heads averaged; a step that was not recorded; another size of picture.
    """
    _check_unet(unet)
    if not isinstance(maps, AttentionMaps):
        raise ValueError(f"maps must be AttentionMaps, as `watch_attention` gives them, not {kind_of(maps)}.")
    if not maps.layers or next(iter(maps.calls[0].values())).ndim != 5:
        raise ValueError("maps must have been recorded with the heads apart: `with watch_attention(unet, heads=True) as maps:`.")
    steps, call = set(chosen_from("steps", steps, range(len(maps.calls)))), {"index": -1}

    def begin(*args, **kwargs):
        call["index"] += 1
        if call["index"] >= len(maps.calls):
            raise ValueError(f"maps={len(maps.calls)} calls are recorded, and this is one more: draw with as many steps.")

    def keep(name, output, attn, hidden_states, encoder_hidden_states):
        probs = maps.calls[call["index"]].get(name)
        if probs is None or call["index"] not in steps:
            return output
        probs = probs.flatten(2, 3).flatten(0, 1).to(output)  # (n * heads, h * w, 77)
        count = len(probs) // attn.heads
        if probs.shape[1] != hidden_states.shape[1] or count > len(output):
            raise ValueError(f"maps={tuple(probs.shape)} in {name} do not fit: draw pictures of the size and number recorded.")
        value = attn.head_to_batch_dim(attn.to_v(encoder_hidden_states[-count:]))  # (n * heads, 77, d)
        read = attn.to_out[1](attn.to_out[0](attn.batch_to_head_dim(probs @ value)))
        return torch.cat([output[:-count], read / attn.rescale_output_factor])

    with _replaced(unet, begin, keep):
        yield


@door
def prompt_positions(prompt: str, tokenizer) -> dict[str, list[int]]:
    """The 77 positions by what stands there: "<start>", each word (several tokens, if need be), "<end>", "<padding>".

    A word's later occurrences are counted: "a", "a (2)". Words that do not fit are left out.
    """
    most = tokenizer.model_max_length
    found, position = {"<start>": [0]}, 1
    for pieces in words_of(prompt, tokenizer):
        inside = list(range(position, min(position + len(pieces), most - 1)))
        position += len(inside)
        if inside:
            name, count = as_text(pieces[: len(inside)], tokenizer), 1
            while (label := name if count == 1 else f"{name} ({count})") in found:
                count += 1
            found[label] = inside
    rest = {"<end>": [position], "<padding>": list(range(position + 1, most))}
    return found | {label: positions for label, positions in rest.items() if positions}
