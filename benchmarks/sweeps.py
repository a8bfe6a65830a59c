"""Image to image over many start steps and guidance scales, against a pipeline call for each picture."""

from __future__ import annotations

import torch
from diffusers import LMSDiscreteScheduler, StableDiffusionImg2ImgPipeline

from sd_helpers import gallery, load, scheduler_like, sweep

from .rows import Row, in_turns

PROMPT, STEPS = "a red apple on a blue background", 50


def rows(rounds: int):
    """Yield the rows of this part."""
    components = load("emoji-sd", device="cpu")
    pipeline = StableDiffusionImg2ImgPipeline(**components.pipeline().components, requires_safety_checker=False)
    pipeline.register_modules(scheduler=scheduler_like(components.scheduler, LMSDiscreteScheduler))
    pipeline.set_progress_bar_config(disable=True)
    image = gallery.find("rocket", style="noto")[0].picture("yellow", components.default_size[0])

    def pair(start_steps, guidance_scales):
        def ours():
            axes = dict(start_steps=start_steps, guidance_scales=guidance_scales)
            sweep(components, PROMPT, image=image, **axes, num_inference_steps=STEPS, progress=False)

        def theirs():
            for start in start_steps:
                for scale in guidance_scales:
                    strength = (STEPS - start + 0.5) / STEPS if start else 1
                    generator = torch.Generator("cpu").manual_seed(0)
                    settings = dict(num_inference_steps=STEPS, guidance_scale=scale, generator=generator)
                    pipeline(PROMPT, image=image, strength=strength, **settings)

        return in_turns(-(-rounds // 3), ours, theirs)

    yield Row("sweep of 8 start steps, against 8 calls", *pair(range(5, 45, 5), (7.5,)), target="0.55 or less")
    yield Row("grid of 5 start steps x 5 guidance scales, against 25 calls", *pair(range(5, 50, 10), (2, 4, 6, 8, 10)))
