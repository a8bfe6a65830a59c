"""LoRA: fine-tuning by thin matrices beside the U-Net's own (Hu et al. 2021), learned here or elsewhere, and files of them."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path

import torch

from ..arguments import door, real_number, seed_number, whole_number
from ..components import Components, without_adapters
from ..files import weights_path
from ..notebook.stepwise import OnStep, Training
from ..text import embed_prompt
from .learning import LARGEST_BATCH, batch, noise_loss, pairs

LARGEST_RANK = 1280  # the width of the widest projection of SD v1
PEFT = "base_model.model."  # begins every name in a file by peft


def learn_lora(components, pictures, prompts, *, num_steps: int = 60, on_step: OnStep | None = None, **settings):
    """LoRA, `num_steps` steps of it. Arguments and result as in `lora_training`, `Training.run`."""
    return lora_training(components, pictures, prompts, **settings).run(num_steps, on_step)


@door
def lora_training(
    components: Components,
    pictures: list,
    prompts: list[str],
    *,
    rank: int = 4,
    batch_size: int = 4,
    learning_rate: float = 2e-3,
    seed: int = 0,
) -> Training:
    """LoRA: fine-tune the attention of a copy of the U-Net by two thin matrices beside each of its projections.

    Args:
        components: with a LoRA already, that is worked into the weights of the copy first.
        pictures, prompts: as in `learn_word`, or else a ValueError; the prompts use words that the tokenizer has.
        rank: of the change to each matrix.

    Returns:
        a `Training` whose result is components with the changed copy of the U-Net (`unet.disable_adapters()` turns the
        change off), and the losses.
    """
    from peft import LoraConfig

    latents, prompts = pairs(components, pictures, prompts)
    with torch.no_grad():
        embeds = embed_prompt(prompts, components.tokenizer, components.text_encoder)
    unet, layers = _copy_without_adapters(components.unet), ["to_q", "to_k", "to_v", "to_out.0"]
    seed, rank = seed_number("seed", seed), whole_number("rank", rank, 1, LARGEST_RANK)
    batch_size = whole_number("batch_size", batch_size, 1, LARGEST_BATCH)
    draw = torch.Generator("cpu").manual_seed(seed)
    with torch.random.fork_rng(devices=[]):  # peft draws its first matrix from the global generator
        torch.manual_seed(seed)
        unet.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=layers))
    parameters = [p for p in unet.parameters() if p.requires_grad]

    def loss():
        chosen = batch(len(prompts), batch_size, draw)
        return noise_loss(unet, components.scheduler, latents[chosen], embeds[chosen], draw)

    def result(losses):
        return replace(components, unet=copy.deepcopy(unet).requires_grad_(False)), list(losses)

    return Training(parameters, loss, result, learning_rate)


@door
def save_lora(components: Components, path) -> Path:
    """Write the LoRA of a model as safetensors in diffusers' format, which `pipe.load_lora_weights(path)` reads.

    Raises:
        ValueError: a path that does not end in .safetensors, or a model without a LoRA.
    """
    from diffusers import StableDiffusionPipeline

    path = weights_path(path, there=False)
    layers = dict(unet_lora_layers=_layers(components.unet), text_encoder_lora_layers=_layers(components.text_encoder))
    if not any(layers.values()):
        raise ValueError("components has no LoRA: `learn_lora` or `load_lora` gives one.")
    StableDiffusionPipeline.save_lora_weights(path.parent, weight_name=path.name, **layers)
    return path


@door
def load_lora(components: Components, path, *, scale: float = 1.0) -> Components:
    """A model with the LoRA of a file on a copy of its U-Net (and of its text encoder, if the file has one for it).

    Args:
        path: a .safetensors file in diffusers', peft's or kohya's format.
        scale: how much of it; 0 changes nothing, 1 is as it was trained.

    Raises:
        ValueError: no such file, another kind of file, or a LoRA made for another kind of model.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path, scale = weights_path(path, there=True), real_number("scale", scale)
    try:
        weights = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"path={str(path)!r} is not a safetensors file: {error}. Download it again.") from error
    if all(name.startswith(PEFT) for name in weights):
        weights = {f"unet.{name.removeprefix(PEFT)}": weight * _peft_scale(path) ** 0.5 for name, weight in weights.items()}
    copied = replace(
        components, unet=_copy_without_adapters(components.unet), text_encoder=_copy_without_adapters(components.text_encoder)
    )
    try:
        with torch.random.fork_rng(devices=[]):  # peft draws matrices from the global generator before it sets them
            _add(weights, copied)
    except (ValueError, RuntimeError, KeyError) as error:
        raise ValueError(f"path={str(path)!r} is no LoRA for {components.name}: {str(error)[:300]}") from error
    if not getattr(copied.unet, "peft_config", None) and not getattr(copied.text_encoder, "peft_config", None):
        raise ValueError(f"path={str(path)!r} holds no LoRA for a U-Net or text encoder like those of {components.name}.")
    for module in (copied.unet, copied.text_encoder):
        for layer in module.modules():
            if isinstance(layer, BaseTunerLayer):
                layer.scale_layer(scale)
        module.requires_grad_(False).eval()
    return copied


def _add(weights: dict, components: Components) -> None:
    """Put a LoRA in diffusers' or kohya's names on the U-Net and the text encoder that it is for."""
    from diffusers import StableDiffusionPipeline

    weights, alphas = StableDiffusionPipeline.lora_state_dict(weights)
    if not any("lora" in name for name in weights):
        raise ValueError("it holds no LoRA")
    settings = dict(network_alphas=alphas, adapter_name="default")
    StableDiffusionPipeline.load_lora_into_unet(weights, unet=components.unet, **settings)
    if any(name.startswith("text_encoder.") for name in weights):
        StableDiffusionPipeline.load_lora_into_text_encoder(weights, text_encoder=components.text_encoder, **settings)


def _layers(module) -> dict:
    """The matrices of a module's LoRA by name, its scale worked into the second of each pair; empty where it has none."""
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils import get_peft_model_state_dict

    if not getattr(module, "peft_config", None):
        return {}
    if len(module.peft_config) > 1:
        raise ValueError(f"components has {len(module.peft_config)} LoRAs on one network; a file is of one.")
    (adapter,) = module.peft_config
    weights = get_peft_model_state_dict(module, adapter_name=adapter)
    for name, layer in module.named_modules():
        if isinstance(layer, BaseTunerLayer):
            weights[f"{name}.lora_B.weight"] = weights[f"{name}.lora_B.weight"] * layer.scaling[adapter]
    return weights


def _copy_without_adapters(module):
    plain = without_adapters(module)
    return copy.deepcopy(plain) if plain is module else plain


def _peft_scale(path: Path) -> float:
    """alpha / rank, which peft keeps in a file beside the weights; 1 without one."""
    settings = path.parent / "adapter_config.json"
    if not settings.is_file():
        return 1.0
    settings = json.loads(settings.read_text(encoding="utf-8"))
    return settings["lora_alpha"] / settings["r"]
