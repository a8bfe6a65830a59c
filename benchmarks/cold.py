"""From a new process to the first picture, in parts."""

from __future__ import annotations

import json
import subprocess
import sys

from .rows import Row

OURS = """
import time
began = time.perf_counter()
import torch
from sd_helpers import denoise, embed_prompt, latents_to_pil, load
from sd_helpers.drawing import starting_latents
import diffusers.models.unets.unet_2d_condition, diffusers.models.autoencoders.autoencoder_kl, transformers.models.clip
imported = time.perf_counter()
c = load("emoji-sd", device="cpu")
loaded = time.perf_counter()
embeds = [embed_prompt(text, c.tokenizer, c.text_encoder) for text in ("a puppy on a blue background", "")]
start = starting_latents(c, [0], *c.default_size, 50)
*_, last = denoise(c.unet, c.scheduler, start, embeds[0], negative_embeds=embeds[1])
sampled = time.perf_counter()
latents_to_pil(last.latents, c.vae)
decoded = time.perf_counter()
"""
THEIRS = """
import time
began = time.perf_counter()
import torch
from diffusers import StableDiffusionPipeline
from sd_helpers.models import EMBEDDED_FOLDER
imported = time.perf_counter()
pipe = StableDiffusionPipeline.from_pretrained(EMBEDDED_FOLDER, local_files_only=True)
pipe.set_progress_bar_config(disable=True)
loaded = time.perf_counter()
latents = pipe("a puppy on a blue background", output_type="latent").images
sampled = time.perf_counter()
pipe.image_processor.postprocess(pipe.vae.decode(latents / 0.18215, return_dict=False)[0].detach())
decoded = time.perf_counter()
"""
REPORT = "import json; print(json.dumps([imported - began, loaded - imported, sampled - loaded, decoded - sampled]))"
PARTS = ("imports", "loading", "sampling, 50 steps", "decoding")


def rows(rounds: int):
    """Yield the rows of this part."""
    few = -(-rounds // 2)
    taken = [[_run(OURS + REPORT), _run(THEIRS + REPORT)] for _ in range(few + 1)][1:]  # the first one fills the disk cache
    ours, theirs = zip(*taken)
    yield Row("new process to first picture", [sum(t) for t in ours], [sum(t) for t in theirs], target="12 s or less")
    for i, part in enumerate(PARTS):
        yield Row(f"of that: {part}", [t[i] for t in ours], [t[i] for t in theirs])
    alone = "import time; began = time.perf_counter(); import sd_helpers; print(time.perf_counter() - began)"
    yield Row("import sd_helpers", [_run(alone) for _ in range(few)], target="0.3 s or less")


def _run(code: str):
    """What a new Python prints on its last line."""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])
