"""Checkpoints as they lie on a disk: a folder in diffusers' layout, or one file as other programs keep it."""

from __future__ import annotations

import json
import os
from pathlib import Path

from . import models
from .arguments import kind_of
from .lms import LMSScheduler
from .schedulers import scheduler_like


class WrongKind(ValueError):  # noqa: N818
    """A whole checkpoint, but of a model that this package does not take apart."""


U_NET, VAE, TEXT = "model.diffusion_model.", "first_stage_model.", "cond_stage_model.transformer.text_model."


def read(source: str, dtype, local_only: bool) -> dict:
    """Read every part of a folder or a hub's model, each by the class that SD v1 uses, and check that none lacks anything."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    models.show_bars(not local_only)
    network = dict(local_files_only=local_only)
    parts = dict(
        tokenizer=CLIPTokenizer.from_pretrained(source, subfolder="tokenizer", **network),
        scheduler=_read_scheduler(source, network),
    )
    classes = dict(vae=AutoencoderKL, text_encoder=CLIPTextModel, unet=UNet2DConditionModel)
    for part, cls in classes.items():
        dtype_argument = {"dtype" if part == "text_encoder" else "torch_dtype": dtype} | _variant(Path(source) / part)
        parts[part], found = cls.from_pretrained(source, subfolder=part, output_loading_info=True, **dtype_argument, **network)
        # The libraries would fill what is missing with random numbers.
        if found["missing_keys"]:
            raise OSError(f"{part} lacks weights, such as {min(found['missing_keys'])}")
    tokens, rows = len(parts["tokenizer"]), parts["text_encoder"].get_input_embeddings().num_embeddings
    if tokens != rows:
        raise OSError(f"the tokenizer has {tokens} tokens, the text encoder {rows}")
    return parts


def check_fit(parts: dict, name: str) -> None:
    """A ValueError unless the parts make a Stable Diffusion of the first kind: each reads what the one before it gives."""
    unet, width = parts["unet"].config, parts["text_encoder"].config.hidden_size
    if unet.in_channels != parts["vae"].config.latent_channels:
        raise WrongKind(
            f"model={name!r}: its U-Net takes {unet.in_channels} channels where latents have "
            f"{parts['vae'].config.latent_channels}: it is made for something else, such as inpainting."
        )
    if unet.cross_attention_dim != width:
        raise WrongKind(
            f"model={name!r}: its U-Net reads embeddings {unet.cross_attention_dim} wide, its text encoder gives {width}: it is "
            "of another kind (SDXL has two text encoders), or put together from two models."
        )


def download(source: str, dtype) -> dict:
    """Fetch a hub's model and read it, or a ValueError that says what to do without a network."""
    import huggingface_hub

    try:
        huggingface_hub.model_info(source, timeout=10)  # is it there? The download itself would retry for minutes
        print(f"{source} is not on this machine yet: downloading it, several gigabytes, once.", flush=True)
        return read(source, dtype, local_only=False)
    except WrongKind:
        raise
    except Exception as error:
        raise ValueError(
            f"model={source!r} is not on this machine and could not be downloaded ({type(error).__name__}). Check the "
            f"name and the network; offline, use {models.EMBEDDED!r}, which comes with this package, or a folder that "
            f"you saved before with `components.save(folder)`. Known hub ids: {', '.join(models.HUB_IDS)}."
        ) from error


def _variant(folder: Path) -> dict:
    """What to pass for a part of which there are half-precision weights only, as in model.fp16.safetensors."""
    names = [file.name for file in folder.glob("*.safetensors")] or [file.name for file in folder.glob("*.bin")]
    variants = {name.split(".")[1].split("-")[0] for name in names if name.count(".") > 1}
    return {"variant": min(variants)} if variants and all(name.count(".") > 1 for name in names) else {}


def _read_scheduler(source: str, network: dict):
    """An LMS scheduler over the noise schedule the model was trained with, whatever scheduler its folder names."""
    from diffusers import DDPMScheduler

    scheduler = DDPMScheduler.from_pretrained(source, subfolder="scheduler", **network)
    if scheduler.config.rescale_betas_zero_snr:
        raise WrongKind(f"model={source!r}: it begins at pure noise (rescale_betas_zero_snr), which tells nothing of x0.")
    try:
        return scheduler_like(scheduler, LMSScheduler)
    except ValueError as error:
        raise WrongKind(f"model={source!r}: {error}") from error


def read_file(path: str, dtype) -> dict:
    """Read every part of Stable Diffusion v1 out of one .safetensors file, as CompVis named its weights; nothing is downloaded.

    The configuration is the published one, and the tokenizer that of emoji-sd: CLIP's own.

    Raises:
        ValueError: a file of another kind; the message says of which.
    """
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint
    from safetensors.torch import load_file
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    if not path.endswith(".safetensors"):
        raise ValueError(
            f"model={path!r}: only .safetensors files are read. A .ckpt or .pt is a Python pickle, which can run any program "
            "when it is opened; most are offered as .safetensors, too."
        )
    try:
        weights = load_file(path)
    except Exception as error:
        raise ValueError(f"model={path!r} cannot be read ({error}): copy or download it again.") from error
    _check_kind(weights, path)
    with torch.random.fork_rng(devices=[]):  # torch draws weights that are replaced at once
        unet, vae = UNet2DConditionModel(**models.SD_V1_UNET), AutoencoderKL(**models.SD_V1_VAE)
        text_encoder = CLIPTextModel(CLIPTextConfig(**models.SD_V1_TEXT))
    prefix = "text_model." if hasattr(text_encoder, "text_model") else ""  # transformers 5 has done away with it
    text = {prefix + key.removeprefix(TEXT): weight for key, weight in weights.items() if key.startswith(TEXT)}
    text.pop(prefix + "embeddings.position_ids", None)  # counted, not learned
    try:
        unet.load_state_dict(convert_ldm_unet_checkpoint(_under(U_NET, weights), unet.config))
        vae.load_state_dict(convert_ldm_vae_checkpoint(_under(VAE, weights), vae.config))
        text_encoder.load_state_dict(text)
    except (RuntimeError, KeyError) as error:
        raise ValueError(f"model={path!r} is no whole Stable Diffusion v1 of the published size: {str(error)[:300]}") from error
    return dict(
        vae=vae.to(dtype),
        tokenizer=CLIPTokenizer.from_pretrained(models.EMBEDDED_FOLDER / "tokenizer"),
        text_encoder=text_encoder.to(dtype),
        unet=unet.to(dtype),
        scheduler=_read_scheduler(models.find(models.EMBEDDED), dict(local_files_only=True)),  # of the same betas
    )


def _under(prefix: str, weights: dict) -> dict:
    return {name: weight for name, weight in weights.items() if name.startswith(prefix)}


def _check_kind(weights: dict, path: str) -> None:
    """A ValueError unless the weights are those of a Stable Diffusion v1 that draws from prompts."""

    def refuse(what: str, remedy: str):
        raise WrongKind(f"model={path!r} {what}: {remedy}")

    has = lambda part: any(part in key for key in weights)  # noqa: E731
    if has("lora_") or has(".lora."):
        refuse("is a LoRA, a change to a model", "load the model that it was made for, then `load_lora(components, path)`.")
    if len(weights) < 5 and not has(U_NET):
        refuse("holds the rows of a learned word", "load the model that it was made for, then `load_word(path)`.")
    if has("conditioner.embedders."):
        refuse("is a Stable Diffusion XL, which has two text encoders", "this package takes apart v1.")
    if has("cond_stage_model.model."):
        refuse("is a Stable Diffusion v2", "its text encoder is another; use its folder in diffusers' layout.")
    missing = [part for part in (U_NET, VAE, TEXT) if not has(part)]
    if missing:
        refuse("is no whole Stable Diffusion v1", f"it has no weights named {' or '.join(part + '...' for part in missing)}")
    channels = weights[U_NET + "input_blocks.0.0.weight"].shape[1]
    if channels != 4:
        refuse(f"has a U-Net for {channels} channels in place of 4", "it is made for something else, such as inpainting.")


def weights_path(path, there: bool) -> Path:
    """The path of a .safetensors file, or a ValueError.

    Args:
        there: whether a file must be there (True), or the folder for one (False).
    """
    if not isinstance(path, (str, os.PathLike)):
        raise ValueError(f"path must be the path of a file, not {kind_of(path)}.")
    path = Path(path).expanduser()
    if path.suffix != ".safetensors":
        raise ValueError(f"path={str(path)!r} must end in .safetensors, the format without code in it.")
    if there and not path.is_file():
        raise ValueError(f"path={str(path)!r}: there is no such file.")
    if not there and not path.parent.is_dir():
        raise ValueError(f"path={str(path)!r}: there is no folder {path.parent}; make it first.")
    return path


def broken_folder(folder: str, error: Exception) -> ValueError:
    """Say which part of a folder cannot be read, by what is wrong with its files."""
    for part in models.PARTS:
        for file in sorted(os.listdir(os.path.join(folder, part))):
            if file.endswith(".json"):
                try:
                    with open(os.path.join(folder, part, file), encoding="utf-8") as opened:
                        json.load(opened)
                except ValueError:
                    return ValueError(f"model folder {folder!r}: {part}/{file} is not valid JSON. Copy the folder again.")
    return ValueError(
        f"model folder {folder!r} is incomplete or corrupt: {type(error).__name__}: {error}. Copy or download it again; each "
        f"of {', '.join(models.PARTS)} needs its configuration and, if it is a network, its weights."
    )
