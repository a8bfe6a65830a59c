"""The parts of a Stable Diffusion model, loaded and ready to be used one by one."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import models
from .arguments import door, kind_of

if TYPE_CHECKING:
    import torch
    from diffusers import AutoencoderKL, SchedulerMixin, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer


@dataclass
class Components:
    """The four networks-and-tables of a latent diffusion model, its scheduler, and where they are."""

    vae: AutoencoderKL
    tokenizer: CLIPTokenizer
    text_encoder: CLIPTextModel
    unet: UNet2DConditionModel
    scheduler: SchedulerMixin
    device: torch.device
    dtype: torch.dtype
    name: str
    reasons: tuple[str, ...] = ()  # why this device, this dtype and this runtime

    def describe(self) -> str:
        """What was loaded, where it runs and why, in a few lines."""
        from .runtime import threads
        from .runtime.runtimes import original

        parts = {"U-Net": original(self.unet), "VAE": self.vae, "text encoder": self.text_encoder}
        sizes = ", ".join(f"{name} {sum(p.numel() for p in part.parameters()) / 1e6:.1f} M" for name, part in parts.items())
        height, width = self.default_size
        lines = [f"{self.name}: {width} x {height} pixels, {type(self.scheduler).__name__}", f"parameters: {sizes}"]
        return "\n".join([*lines, *self.reasons, *([threads.told()] if self.device.type == "cpu" else [])])

    @property
    def factor(self) -> int:
        """How many pixels one latent stands for along a side: 8 in SD v1."""
        return 2 ** (len(self.vae.config.block_out_channels) - 1)

    @property
    def default_size(self) -> tuple[int, int]:
        """Height and width in pixels that the model was trained at: (512, 512) for SD v1."""
        return (self.unet.config.sample_size * self.factor,) * 2

    def pipeline(self) -> StableDiffusionPipeline:
        """diffusers' own pipeline over the very same modules, without a safety checker, its progress bar off."""
        from diffusers import StableDiffusionPipeline

        from .runtime.runtimes import original

        pipeline = StableDiffusionPipeline(
            vae=self.vae,
            text_encoder=self.text_encoder,
            tokenizer=self.tokenizer,
            unet=original(self.unet),
            scheduler=self.scheduler,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    def save(self, folder: str | os.PathLike) -> None:
        """Write a folder in diffusers' layout, which `load` and plain diffusers both read."""
        from diffusers import LMSDiscreteScheduler

        from .schedulers import scheduler_like

        pipeline = self.pipeline()
        pipeline.register_modules(scheduler=scheduler_like(self.scheduler, LMSDiscreteScheduler))
        pipeline.save_pretrained(folder)


@door
def load(model: str | os.PathLike | None = None, *, device=None, dtype=None, runtime: str | None = None) -> Components:
    """Load a model's parts, weights frozen, in evaluation mode.

    Args:
        model: "emoji-sd" (comes with this package), a hub id, or a folder in diffusers' layout. None takes the
            environment variable SD_MODEL, else "emoji-sd".
        device: where to put it; None takes cuda, else mps, else cpu, and cpu for runtime="openvino".
        dtype: torch.float32, float16 or bfloat16; None takes float16 on cuda for every
            model but emoji-sd, else float32.
        runtime: what runs the U-Net. None is torch, which everything can look into; only on a CPU, and where it is installed,
            the loop (`denoise`, and what calls it) asks OpenVINO, which takes half the time, as long as the U-Net is neither
            changed nor watched. "torch" is torch always. For drawing only, "openvino" is OpenVINO always, and "compile" is
            torch's compiler, which takes a minute to begin with.

    Raises:
        ValueError: no such model; a hub model that is neither in the cache nor reachable; a folder that is
            incomplete or corrupt; a device that is not there; a dtype that is none; a runtime that is unknown, not
            installed, or not for this device. The library's own error is chained.
    """
    from .runtime import threads, unchanged
    from .runtime.devices import checked_dtype, pick_device, pick_dtype, reasons_for
    from .runtime.runtimes import check_runtime, faster

    if model is not None and not isinstance(model, (str, os.PathLike)):
        raise ValueError(f"model must be a name or a path, not {kind_of(model)}; None takes {models.ENVIRONMENT}, else emoji-sd.")
    name = str(model or os.environ.get(models.ENVIRONMENT) or models.EMBEDDED)
    source = models.find(name)
    wanted = dict(device=device, dtype=dtype)
    device, dtype = pick_device("cpu" if device is None and runtime == "openvino" else device), checked_dtype(dtype)
    dtype = dtype or pick_dtype(device, name)
    check_runtime(runtime)
    try:
        parts = _read(source, dtype, local_only=True)
    except Exception as error:
        if os.path.isdir(source):
            raise _broken_folder(source, error) from error
        parts = _download(source, dtype)
    for module in (parts["vae"], parts["text_encoder"], parts["unet"]):
        module.to(device).requires_grad_(False).eval()
    drawn_by_openvino = runtime is None and unchanged.remember(parts["unet"])
    if runtime == "torch":
        unchanged.only_torch(parts["unet"])
    reasons = reasons_for(wanted, device, dtype, runtime, drawn_by_openvino)
    if device.type == "cpu" and runtime != "compile":  # torch's compiler knows no such hook
        factor = 2 ** (len(parts["vae"].config.block_out_channels) - 1)
        threads.suit(parts["unet"], factor**2)
        threads.suit(parts["vae"].encoder, 1)
        threads.suit(parts["vae"].decoder, factor**2)
        threads.suit(parts["text_encoder"], 0)  # or it would round by what was drawn before
    parts["unet"] = faster(parts["unet"], runtime)
    return Components(**parts, device=device, dtype=dtype, name=name, reasons=reasons)


def _read(source: str, dtype, local_only: bool) -> dict:
    """Read every part, each by the class that SD v1 uses, and check that none lacks anything."""
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
        dtype_argument = {"dtype" if part == "text_encoder" else "torch_dtype": dtype}
        parts[part], found = cls.from_pretrained(source, subfolder=part, output_loading_info=True, **dtype_argument, **network)
        # The libraries would fill what is missing with random numbers.
        if found["missing_keys"]:
            raise OSError(f"{part} lacks weights, such as {min(found['missing_keys'])}")
    tokens, rows = len(parts["tokenizer"]), parts["text_encoder"].get_input_embeddings().num_embeddings
    if tokens != rows:
        raise OSError(f"the tokenizer has {tokens} tokens, the text encoder {rows}")
    return parts


def _read_scheduler(source: str, network: dict):
    """An LMS scheduler over the noise schedule the model was trained with, whatever scheduler its folder names."""
    from diffusers import DDPMScheduler

    from .schedulers import LMSScheduler, scheduler_like

    return scheduler_like(DDPMScheduler.from_pretrained(source, subfolder="scheduler", **network), LMSScheduler)


def _download(source: str, dtype) -> dict:
    import huggingface_hub

    try:
        huggingface_hub.model_info(source, timeout=10)  # is it there? The download itself would retry for minutes
        print(f"{source} is not on this machine yet: downloading it, several gigabytes, once.", flush=True)
        return _read(source, dtype, local_only=False)
    except Exception as error:
        raise ValueError(
            f"model={source!r} is not on this machine and could not be downloaded ({type(error).__name__}). Check the "
            f"name and the network; offline, use {models.EMBEDDED!r}, which comes with this package, or a folder that "
            f"you saved before with `components.save(folder)`. Known hub ids: {', '.join(models.HUB_IDS)}."
        ) from error


def _broken_folder(folder: str, error: Exception) -> ValueError:
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
