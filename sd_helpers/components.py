"""The parts of a Stable Diffusion model, loaded and ready to be used one by one."""

from __future__ import annotations

import copy
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
        """Write a folder in diffusers' layout, which `load` and plain diffusers both read; a LoRA goes into the weights."""
        from diffusers import LMSDiscreteScheduler

        from .schedulers import scheduler_like

        pipeline = self.pipeline()
        pipeline.register_modules(unet=without_adapters(pipeline.unet), text_encoder=without_adapters(pipeline.text_encoder))
        pipeline.register_modules(scheduler=scheduler_like(self.scheduler, LMSDiscreteScheduler))
        pipeline.save_pretrained(folder)


def without_adapters(module):
    """The module itself, or, where it has LoRA, a copy with that worked into its weights."""
    if not getattr(module, "peft_config", None):
        return module
    from peft.tuners.tuners_utils import BaseTunerLayer

    module = copy.deepcopy(module)
    for name, layer in list(module.named_modules()):
        if isinstance(layer, BaseTunerLayer):
            if not layer.disable_adapters:
                layer.merge()
            parent, _, child = name.rpartition(".")
            setattr(module.get_submodule(parent), child, layer.get_base_layer())
    del module.peft_config
    module._hf_peft_config_loaded = False  # or the libraries would refuse another
    return module


@door
def load(model: str | os.PathLike | None = None, *, device=None, dtype=None, runtime: str | None = None) -> Components:
    """Load a model's parts, weights frozen, in evaluation mode.

    Args:
        model: "emoji-sd" (comes with this package), a hub id, a folder in diffusers' layout, or a .safetensors file with all of
            a Stable Diffusion v1. None takes the environment variable SD_MODEL, else "emoji-sd".
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
    from .files import WrongKind, broken_folder, check_fit, download, read, read_file
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
        parts = read_file(source, dtype) if os.path.isfile(source) else read(source, dtype, local_only=True)
    except WrongKind:
        raise
    except Exception as error:
        if os.path.isfile(source):
            raise
        if os.path.isdir(source):
            raise broken_folder(source, error) from error
        parts = download(source, dtype)
    check_fit(parts, name)
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
