"""Guided pictures of 50 steps; how much of the time is the U-Net's, and how little it could be."""

from __future__ import annotations

import copy
import dataclasses
import time

import torch
from diffusers import DPMSolverMultistepScheduler, EulerDiscreteScheduler, LMSDiscreteScheduler, StableDiffusionPipeline
from torch.utils.flop_counter import FlopCounterMode

from sd_helpers import LMSScheduler, denoise, embed_prompt, generate, load, models, scheduler_like
from sd_helpers.drawing import starting_latents
from sd_helpers.runtime import threads

from .rows import Row, in_turns

PROMPT, STEPS = "a red apple on a blue background", 50
CORES = torch.get_num_threads()  # what torch takes by itself
SCHEDULERS = {
    "LMS": (LMSScheduler, LMSDiscreteScheduler),
    "Euler": (EulerDiscreteScheduler,) * 2,
    "DPM++ 2M": (DPMSolverMultistepScheduler,) * 2,
}


def rows(rounds: int):
    """Yield the rows of this part."""
    components = load("emoji-sd", device="cpu")
    for name, classes in SCHEDULERS.items():
        for batch in (1, 8):
            yield row(components, name, classes, batch, rounds if batch == 1 else -(-rounds // 3))
    with_torch = load("emoji-sd", device="cpu", runtime="torch")
    for batch in (1, 8):
        made = row(with_torch, "LMS", SCHEDULERS["LMS"], batch, rounds if batch == 1 else -(-rounds // 3))
        yield dataclasses.replace(made, name=made.name + ", runtime torch", target="")
    yield Row(
        "share of the loop inside the U-Net, LMS", [unet_share(components) for _ in range(rounds)], None, "", "0.97 or more"
    )
    flops, rate = counted(components), convolution_rate()
    floor = Row(f"floor: {STEPS} x {flops / 1e9:.2f} GFLOP at {rate / 1e9:.0f} GFLOP/s", [STEPS * flops / rate])
    yield floor


def row(components, name: str, classes, batch: int, rounds: int) -> Row:
    """Ours as it comes, and diffusers' pipeline as one would load it without us, with a thread for each core."""
    ours, theirs = (scheduler_like(components.scheduler, cls) for cls in classes)
    mine = dataclasses.replace(components, scheduler=ours)
    pipeline = StableDiffusionPipeline.from_pretrained(models.EMBEDDED_FOLDER, scheduler=theirs, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)

    def draw():
        return generate(mine, PROMPT, num_images=batch, num_inference_steps=STEPS, progress=False)

    def draw_theirs():
        threads.use(CORES)
        generators = [torch.Generator("cpu").manual_seed(seed) for seed in range(batch)]
        return pipeline(PROMPT, num_images_per_prompt=batch, num_inference_steps=STEPS, generator=generators).images

    target = "0.5 or less" if name == "LMS" else ""
    return Row(f"{STEPS} guided steps, {name}, batch {batch}", *in_turns(rounds, draw, draw_theirs), target=target)


def unet_share(components) -> float:
    """The U-Net's part of one run of the loop."""
    inside = 0.0

    def unet(*args, **kwargs):
        nonlocal inside
        began = time.perf_counter()
        result = components.unet(*args, **kwargs)
        inside += time.perf_counter() - began
        return result

    embeds = [embed_prompt(text, components.tokenizer, components.text_encoder) for text in (PROMPT, "")]
    latents = starting_latents(components, [0], *components.default_size, STEPS)
    began = time.perf_counter()
    for _ in denoise(unet, components.scheduler, latents, embeds[0], negative_embeds=embeds[1], num_inference_steps=STEPS):
        pass
    return inside / (time.perf_counter() - began)


def counted(components) -> int:
    """Operations (two for each multiplication with addition) of one guided call of the U-Net."""
    size = components.unet.config.sample_size
    context = embed_prompt(["", PROMPT], components.tokenizer, components.text_encoder)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        copy.deepcopy(components.unet)(torch.zeros(2, 4, size, size), 500, context)
    return counter.get_total_flops()


def convolution_rate() -> float:
    """Operations a second in a large 3 x 3 convolution, the kind that most of the U-Net's are."""
    x, weight = torch.randn(16, 128, 16, 16), torch.randn(128, 128, 3, 3)
    (seconds,) = in_turns(9, lambda: [torch.nn.functional.conv2d(x, weight, padding=1) for _ in range(20)])
    return 20 * 2 * 16 * 128 * 128 * 9 * 16 * 16 / sorted(seconds)[4]
