"""Refusing bad arguments with a sentence: which argument, which value, what to do."""

import functools
import inspect
import math
import numbers
import operator

FROM_DIFFUSERS = {  # arguments of diffusers' pipelines, and what to write here instead
    "strength": "start_step, the number of steps left out: round((1 - strength) * num_inference_steps)",
    "generator": "seed; picture i has a generator of its own, seeded with seed + i",
    "num_images_per_prompt": "num_images",
    "callback_on_step_end": "denoise(..., on_step=...), which sees every step",
    "callback": "denoise(..., on_step=...), which sees every step",
    "latents": "denoise(unet, scheduler, latents, prompt_embeds)",
    "prompt_embeds": "denoise(unet, scheduler, latents, prompt_embeds)",
    "negative_prompt_embeds": "denoise(..., negative_embeds=...)",
    "clip_skip": "denoise with embeddings of an earlier layer, text_encoder(ids, output_hidden_states=True).hidden_states",
    "eta": "another scheduler: scheduler_like(components.scheduler, DDIMScheduler) is eta 0, DDPMScheduler is eta 1",
    "mask_image": "mask",
    "output_type": "the pictures that are returned, a list of PIL pictures",
    "return_dict": "the pictures that are returned, a list of PIL pictures",
    "torch_dtype": "dtype",
    "steps": "num_inference_steps",
    "cfg_scale": "guidance_scale",
}


def whole_number(argument: str, value, least: int | None = None, most: int | None = None, remedy: str = "") -> int:
    """The value as an int, numpy's and torch's whole numbers too, or a ValueError that names argument, value and range."""
    try:
        if _is_truth(value):
            raise TypeError
        number = operator.index(value)
    except (TypeError, ValueError, RuntimeError):  # torch raises all three for what is no single whole number
        raise ValueError(_refusal(argument, value, "whole number", least, most, remedy)) from None
    if (least is not None and number < least) or (most is not None and number > most):
        raise ValueError(_refusal(argument, value, "whole number", least, most, remedy))
    return number


def real_number(argument: str, value, least: float | None = None, most: float | None = None, remedy: str = "") -> float:
    """The value as a float, numpy's and torch's numbers too, or a ValueError that names argument, value and range."""
    try:
        if _is_truth(value) or not (isinstance(value, numbers.Real) or getattr(value, "ndim", None) == 0):
            raise TypeError
        number = float(value)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise ValueError(_refusal(argument, value, "number", least, most, remedy)) from None
    if not math.isfinite(number):
        raise ValueError(_refusal(argument, value, "finite number", least, most, remedy))
    if (least is not None and number < least) or (most is not None and number > most):
        raise ValueError(_refusal(argument, value, "number", least, most, remedy))
    return number


def two_numbers(argument: str, value, least: int | None = None) -> tuple[int, int]:
    """Two whole numbers, or a ValueError that names the argument."""
    try:
        first, second = value
    except (TypeError, ValueError):
        raise ValueError(f"{argument}={value!r} must be two whole numbers, across and down.") from None
    return whole_number(argument, first, least), whole_number(argument, second, least)


def seed_number(argument: str, value) -> int:
    """A seed that torch's generators take, as an int, or a ValueError."""
    return whole_number(argument, value, 0, 2**63 - 1)


def in_our_words(function):
    """A decorator: an argument that the function lacks is a TypeError that says what it is called here, or what there is."""
    known = inspect.signature(function).parameters

    @functools.wraps(function)
    def checked(*args, **kwargs):
        for name in kwargs:
            if name not in known:
                ours = FROM_DIFFUSERS.get(name)
                remedy = f"use {ours}" if ours else f"it takes {', '.join(known)}"
                raise TypeError(f"{function.__name__}() takes no {name!r}: {remedy}.")
        return function(*args, **kwargs)

    return checked


def _is_truth(value) -> bool:
    """True and False are numbers to Python, numpy and torch, and never meant as such."""
    return isinstance(value, bool) or "bool" in str(getattr(value, "dtype", ""))


def _refusal(argument, value, kind, least, most, remedy) -> str:
    allowed = "" if least is None else f" from {least:g}" if isinstance(least, float) else f" from {least}"
    allowed += "" if most is None else f" to {most}"
    text = repr(value)
    return f"{argument}={text if len(text) < 80 else text[:77] + '...'} must be a {kind}{allowed}. {remedy}".rstrip()
