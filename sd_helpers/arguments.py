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
        raise ValueError(f"{argument}={_short(value)} must be two whole numbers, across and down.") from None
    return whole_number(argument, first, least), whole_number(argument, second, least)


def several(argument: str, value, remedy: str = "") -> list:
    """The value as a list, or a ValueError where it is none: a text, a picture, one number."""
    try:
        if isinstance(value, (str, bytes)):
            raise TypeError
        return list(value)
    except TypeError:
        raise ValueError(f"{argument}={_short(value)} must be a list. {remedy}".rstrip()) from None


def one_text(argument: str, value) -> str:
    """The value, or a ValueError unless it is one string."""
    if not isinstance(value, str):
        raise ValueError(f"{argument}={_short(value)} must be one string.")
    return value


def true_or_false(argument: str, value) -> bool:
    """The value, or a ValueError unless it is True or False."""
    if not isinstance(value, bool):
        raise ValueError(f"{argument}={_short(value)} must be True or False.")
    return value


def seed_number(argument: str, value) -> int:
    """A seed that torch's generators take, as an int, or a ValueError."""
    return whole_number(argument, value, 0, 2**63 - 1)


# What a thing must have to be the argument of this name, and what it then is.
PARTS = {
    "components": (("unet", "vae", "scheduler", "tokenizer", "text_encoder"), "a loaded model, from load(...)"),
    "unet": (("__call__",), "a U-Net, such as components.unet"),
    "vae": (("encode", "decode", "config"), "an autoencoder, such as components.vae"),
    "tokenizer": (("tokenize", "model_max_length"), "a tokenizer, such as components.tokenizer"),
    "text_encoder": (("get_input_embeddings", "config"), "a text encoder, such as components.text_encoder"),
    "scheduler": (("step", "set_timesteps", "timesteps", "config"), "a scheduler, such as components.scheduler"),
}
# The shape of a tensor of this name, and where it comes from.
TENSORS = {
    "latents": ("(n, 4, h, w)", "pil_to_latent and starting_noise give such"),
    "noise": ("(n, 4, h, w)", "starting_noise gives such"),
    "image_latents": ("(n, 4, h, w)", "pil_to_latent gives such"),
    "pixels": ("(n, 3, H, W)", "pil_to_tensor gives such"),
    "prompt_embeds": ("(n, tokens, D)", "embed_prompt gives such"),
    "negative_embeds": ("(n, tokens, D)", "embed_prompt gives such"),
    "heat": ("(height, width)", "AttentionMaps.heat gives such"),
}


def door(function=None, **shapes):
    """A decorator: what is no part of a model, or no tensor, where the argument's name asks for one, is refused by name.

    `shapes` are those of tensors of which this function takes more than `TENSORS` says: `@door(latents="(n, channels, h, w)")`.

    An argument that the function lacks is a TypeError that says what it is called here, or what there is.
    """
    if function is None:
        return functools.partial(door, **shapes)
    signature = inspect.signature(function)
    takes_any = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())

    @functools.wraps(function)
    def checked(*args, **kwargs):
        for name in kwargs:
            if name not in signature.parameters and not takes_any:
                ours = FROM_DIFFUSERS.get(name)
                remedy = f"use {ours}" if ours else f"it takes {', '.join(signature.parameters)}"
                raise TypeError(f"{function.__name__}() takes no {name!r}: {remedy}.")
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError:  # one is missing or too many: Python says so, with the function's name
            return function(*args, **kwargs)
        for name, value in given.items():
            parameter = signature.parameters[name]
            if value is None and (parameter.default is None or "None" in str(parameter.annotation)):
                continue
            if name in PARTS:
                check_part(name, value)
            elif name in TENSORS:
                shape, remedy = TENSORS[name]
                check_tensor(name, value, shapes.get(name, shape), remedy)
        return function(*args, **kwargs)

    return checked


def check_part(argument: str, value) -> None:
    """A ValueError unless the value has what a part of a model by this name has."""
    needed, what = PARTS[argument]
    if isinstance(value, type) or not all(hasattr(value, name) for name in needed):
        raise ValueError(f"{argument} must be {what}, not {kind_of(value)}.")


def check_tensor(argument: str, value, shape: str, remedy: str = "") -> None:
    """A ValueError unless the value is a tensor of real numbers with as many dimensions as `shape` names.

    Dimensions that `shape` gives as a number must be so.
    """
    remedy = f"; {remedy}" if remedy else ""
    wanted = shape.strip("()").split(", ")
    if not hasattr(value, "detach"):
        raise ValueError(f"{argument} must be a torch tensor {shape}, not {kind_of(value)}{remedy}.")
    fits = value.ndim == len(wanted) and all(not w.isdigit() or int(w) == side for w, side in zip(wanted, value.shape))
    if not fits or 0 in value.shape or not value.is_floating_point():
        raise ValueError(
            f"{argument} is a tensor {tuple(value.shape)} of {value.dtype}; it must be {shape}, of real numbers{remedy}."
        )


def kind_of(value) -> str:
    """What a message calls a value of the wrong kind."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    shape = getattr(value, "shape", None)
    return type(value).__name__ + (f" of shape {tuple(shape)}" if shape is not None else "")


def _is_truth(value) -> bool:
    """True and False are numbers to Python, numpy and torch, and never meant as such."""
    return isinstance(value, bool) or "bool" in str(getattr(value, "dtype", ""))


def _refusal(argument, value, kind, least, most, remedy) -> str:
    allowed = "" if least is None else f" from {least:g}" if isinstance(least, float) else f" from {least}"
    allowed += "" if most is None else f" to {most}"
    return f"{argument}={_short(value)} must be a {kind}{allowed}. {remedy}".rstrip()


def _short(value) -> str:
    """A value as a message shows it: a tensor may be long."""
    text = repr(value)
    return text if len(text) < 80 else text[:77] + "..."
