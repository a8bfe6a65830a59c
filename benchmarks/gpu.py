"""SD v1's true shape on a GPU, with random weights: speed does not depend on the values."""

from __future__ import annotations

import copy
import dataclasses

import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, LMSDiscreteScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from sd_helpers import LMSScheduler, gallery, generate, load, models, scheduler_like, sweep
from sd_helpers.components import Components
from sd_helpers.runtime.runtimes import faster

from .rows import Row, in_turns

PROMPT, STEPS = "a red apple on a blue background", 50
SHAPE = f"SD v1 shape, 512 x 512, float16, {STEPS} guided steps"


def rows(rounds: int):
    """Yield the rows of this part; none without a CUDA GPU."""
    if not torch.cuda.is_available():
        print("without rows on GPUs: torch finds no CUDA GPU on this machine")
        return
    components = sd_v1_with_random_weights()
    solvers = {"LMS": (LMSScheduler, LMSDiscreteScheduler), "Euler": (EulerDiscreteScheduler,) * 2}
    for batch in (1, 4, 16):
        for name, classes in solvers.items():
            mine, theirs = sides(components, classes, batch)
            label = f"{SHAPE}, {name}, batch {batch}"
            yield Row(f"{label}, eager", *in_turns(-(-rounds // 2), mine, theirs), target="0.70 or less" * (batch == 1))
            yield Row(f"{label}, peak memory", [peak(mine)], [peak(theirs)], "GB")
    yield sweep_row(components, -(-rounds // 3))
    # Last, for what is compiled holds memory of its own.
    compiled = dataclasses.replace(components, unet=faster(copy.deepcopy(components.unet), "compile"))
    their_unet = torch.compile(copy.deepcopy(components.unet), mode="max-autotune", fullgraph=True)
    for name, classes in solvers.items():
        times = in_turns(-(-rounds // 2), *sides(compiled, classes, 1, their_unet))
        yield Row(f"{SHAPE}, {name}, batch 1, compiled", *times, target="0.8 s or less on an H100")


def sides(components, classes, batch: int, their_unet=None):
    """Two functions that draw one batch: ours, and diffusers' with its class of scheduler."""
    ours, theirs = (dataclasses.replace(components, scheduler=scheduler_like(components.scheduler, cls)) for cls in classes)
    pipeline, settings = theirs.pipeline(), dict(num_inference_steps=STEPS)
    if their_unet is not None:
        pipeline.unet = their_unet
    return (
        lambda: generate(ours, PROMPT, num_images=batch, batch_size=batch, progress=False, **settings),
        lambda: pipeline(PROMPT, num_images_per_prompt=batch, **settings),
    )


def sweep_row(components, rounds: int) -> Row:
    """Eight start steps in one call, against eight calls."""
    from diffusers import StableDiffusionImg2ImgPipeline

    pipeline = StableDiffusionImg2ImgPipeline(**components.pipeline().components, requires_safety_checker=False)
    pipeline.register_modules(scheduler=scheduler_like(components.scheduler, LMSDiscreteScheduler))
    pipeline.set_progress_bar_config(disable=True)
    image, starts = gallery.find("rocket", style="noto")[0].picture("yellow", components.default_size[0]), range(5, 45, 5)
    settings = dict(image=image, num_inference_steps=STEPS)

    def theirs():
        for start in starts:
            pipeline(PROMPT, strength=(STEPS - start + 0.5) / STEPS, **settings)

    def ours():
        sweep(components, PROMPT, start_steps=starts, batch_size=8, progress=False, **settings)

    return Row("SD v1 shape, sweep of 8 start steps, against 8 calls", *in_turns(rounds, ours, theirs), target="0.25 or less")


def peak(draw) -> float:
    """Most memory allocated while it draws, GB."""
    torch.cuda.reset_peak_memory_stats()
    draw()
    return torch.cuda.max_memory_allocated() / 1e9


def sd_v1_with_random_weights(device="cuda", dtype=torch.float16) -> Components:
    """Components of Stable Diffusion v1's own sizes, untrained; tokenizer and schedule are the real ones."""
    torch.manual_seed(0)
    small = load("emoji-sd", device="cpu")
    with torch.device(device):
        parts = dict(
            vae=AutoencoderKL(**models.SD_V1_VAE),
            text_encoder=CLIPTextModel(CLIPTextConfig(**models.SD_V1_TEXT, bos_token_id=49406, eos_token_id=49407)),
            unet=UNet2DConditionModel(**models.SD_V1_UNET),
        )
    parts = {name: module.to(dtype).requires_grad_(False).eval() for name, module in parts.items()}
    place = dict(device=torch.device(device), dtype=dtype, name="sd-v1 with random weights")
    return Components(**parts, tokenizer=small.tokenizer, scheduler=small.scheduler, **place)
