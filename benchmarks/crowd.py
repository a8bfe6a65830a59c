"""Each kind of work alone, beside a busy loop, and twice at once: as this package does it, and with torch's own threads."""

from __future__ import annotations

import os
import subprocess
import sys

from sd_helpers.runtime import threads

from .rows import Row

KERNEL = """
import sys, time
from sd_helpers import denoise, embed_prompt, generate, learn_lora, load
from sd_helpers.runtime import unchanged
from sd_helpers.drawing import starting_latents

kind, runtime = sys.argv[1:]
c = load("emoji-sd", device="cpu", runtime=runtime if runtime != "ours" else None)
embeds = [embed_prompt(text, c.tokenizer, c.text_encoder) for text in ("a puppy", "")]
pictures = generate(c, "a puppy", num_images=4, num_inference_steps=2, progress=False)
if kind == "loop":
    unchanged.only_torch(c.unet)


def by_hand():
    start = starting_latents(c, [0], *c.default_size, 20)
    for step in denoise(c.unet, c.scheduler, start, embeds[0], negative_embeds=embeds[1], num_inference_steps=20):
        pass


work = {
    "picture": lambda: generate(c, "a puppy", num_inference_steps=20, progress=False),
    "loop": by_hand,
    "batch": lambda: generate(c, "a puppy", num_inference_steps=10, num_images=16, batch_size=16, progress=False),
    "training": lambda: learn_lora(c, pictures, ["a puppy"] * 4, num_steps=6),
}[kind]
work()
print("ready", flush=True)
while sys.stdin.readline().strip() == "go":
    began = time.perf_counter()
    work()
    print(time.perf_counter() - began, flush=True)
"""
KINDS = {
    "picture": "a picture of 20 guided steps",
    "loop": "the same where torch has to draw",
    "batch": "16 pictures of 10 guided steps",
    "training": "6 steps of LoRA, batch 4",
}
# GNU's OpenMP waits so long where nobody has told it otherwise.
TORCH = {"OMP_NUM_THREADS": str(os.cpu_count()), "GOMP_SPINCOUNT": "300000"}
BUSY = "while True: pass"
TARGETS = {"alone": ("1.15", "1.15"), "beside a busy loop": ("1.3", "1.6"), "two at once": ("1.3", "2.2")}


def rows(rounds: int):
    """Yield the rows of this part: ours beside torch's own, and what the work takes more than alone."""
    for kind, name in KINDS.items():
        alone = None
        for place, (one, many) in TARGETS.items():
            ours, torchs = ([s for _ in range(-(-rounds // 3)) for s in seconds(kind, place, own)] for own in (False, True))
            alone = alone or sum(ours) / len(ours)
            more = f", {sum(ours) / len(ours) / alone:.2f} of its time alone" if place != "alone" else ""
            goal = one if kind in ("picture", "loop") else many
            what = f"{goal} of torch's own or less" if place == "alone" else f"{goal} of its time alone or less"
            yield Row(f"{name}, {place}{more}; against torch's own threads", ours, torchs, target=what)


def seconds(kind: str, place: str, own: bool) -> list[float]:
    """Seconds that each kernel takes for this work, all begun together; `own` for torch's own threads."""
    count = 2 if place == "two at once" else 1
    ours = {name: value for name, value in os.environ.items() if name not in (*TORCH, *threads.BY_HAND)}
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ours | (TORCH if own else {}))
    command = [sys.executable, "-W", "ignore", "-c", KERNEL, kind, "torch" if own else "ours"]
    kernels = [subprocess.Popen(command, **pipes) for _ in range(count)]
    busy = None
    try:
        for kernel in kernels:
            kernel.stdout.readline()  # it has loaded the model and done the work once
        if place == "beside a busy loop":
            busy = subprocess.Popen([sys.executable, "-c", BUSY])
        taken = []
        for _ in range(2):
            for kernel in kernels:
                kernel.stdin.write("go\n")
                kernel.stdin.flush()
            taken += [float(kernel.stdout.readline()) for kernel in kernels]
        return taken
    finally:
        for process in (*kernels, *([busy] if busy else [])):
            process.kill()
            process.wait()
