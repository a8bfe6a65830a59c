"""What Python gives for the same wishes, into site/test/reference.json, for site/test/*.test.js: `python site/reference.py`."""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from building.networks import blocks_of
from building.preview import patches
from diffusers import EulerDiscreteScheduler

from sd_helpers import load, scheduler_like
from sd_helpers.autoencoder import latents_to_pil
from sd_helpers.drawing import starting_latents
from sd_helpers.gallery import find
from sd_helpers.loop import denoise
from sd_helpers.schedulers import set_timesteps
from sd_helpers.text import embed_prompt, known_and_unknown

INTO = Path(__file__).parent / "test" / "reference.json"
MODELS = Path(__file__).parent / "dist" / "models"
PROMPTS = [
    "",
    " ",
    "a red apple on a white background",
    "A GLOSSY OWL, on a Pink Background!",
    "a fox\ton a\nblue   background",
    "the dog's bone; we've, they'll, I'm, he'd, don't, you're, IT'S",
    "''s 's' 'sun ''' it''s",
    "zebra xylophone qwertyuiop floccinaucinihilipilification",
    "12345 3.14 1,000 007 4x4",
    "snake_case and kebab-case/slash\\backslash",
    "!!! ??? ... ,,, --- ===",
    "ΟΔΥΣΣΕΥΣ Οδυσσεύς ΣΑΣ σας",  # ends in a last sigma
    "İstanbul I ı i̇",
    "Straße GROẞ ﬁsh ﬀ",
    "cafe\u0301 café CAFÉ",  # composed and not
    "Ångström A\u030angstro\u0308m \u212bngstr\u00f6m",
    "привет мир ПРИВЕТ",
    "苹果 りんご リンゴ 사과",
    "तितली ผีเสื้อ فراشة פרפר",  # marks are neither letters nor numbers
    "🍎 👩‍🚀 ❤️ 🇬🇧 👍🏽",
    "\ufeffa fox",
    "a\ufefffox a\u0085fox a\u00a0fox a\u200bfox a\u3000fox a\u2028fox",
    "½ ² Ⅷ ⅷ ٣ 三 ①",
    "a\x00b \x1b[0m \x7f",
    "e\u0301\u0302\u0303 \u0301alone",
    "𝒶 𝔸 𐐀 𐐨",
    "<|startoftext|> a fox <|endoftext|> a dog",
    "<|STARTOFTEXT|> a fox<|endoftext|>dog <|endoftext|",
    "a " * 74 + "fox and nothing that fits after it",
    "antidisestablishmentarianism " * 20,
    "naïve façade — “quoted” ‘single’ it’s …",
    "aaaaaaaaaaaaaaaa lalalalalalala hahahahahaha",
    "x" * 200,
    "email@example.org https://example.org/?q=1&r=2#top",
]
SEEDS = [0, 1, 32, 2**32 - 1, 2**32 + 5, 2**53 - 1]
COUNTS = [1, 2, 5, 15, 16, 17, 31, 40, 1024]
STEPS = [1, 2, 3, 15, 20, 50, 999, 1000]


@dataclass(frozen=True)
class Wish:
    """A drawing; the fields are those of `EmojiSD.steps`."""

    prompt: str
    negative: str = ""
    seed: int = 0
    steps: int = 20
    guidance: float = 5.0
    sampler: str = "lms"
    icon: str = ""  # what is drawn on, as a picture to start from
    startStep: int = 0  # noqa: N815


WISHES = [
    Wish("a fox on a blue background"),
    Wish("a glossy owl on a pink background", seed=7, steps=12, guidance=7.5, negative="pink"),
    Wish("a red apple", seed=2**32 + 5, steps=5, sampler="euler"),
    Wish("a blue heart on a white background", seed=3, steps=4, guidance=1),
    Wish("", seed=4, steps=3, guidance=3.5),
    Wish("zebra xylophone on a green background", seed=5, steps=3),
    Wish("a cat on a yellow background", seed=6, steps=1),
    Wish("a dog on a green background", seed=8, steps=8, icon="cat", startStep=3),
    Wish("a dog on a green background", seed=9, steps=4, icon="cat", startStep=0, sampler="euler"),
    Wish("a dog on a green background", seed=9, steps=4, icon="cat", startStep=4),
]


def main() -> None:
    components = load(device="cpu", runtime="torch")
    reference = {
        "prompts": [prompt_reference(prompt, components) for prompt in PROMPTS],
        "embeds": [{"prompt": p, "embeds": numbers(embed(p, components))} for p in (PROMPTS[2], PROMPTS[7], "")],
        "noise": noise_reference(),
        "schedules": [schedule_reference(steps, components) for steps in STEPS],
        "runs": [run_reference(wish, components) for wish in WISHES],
        "levels": levels_reference(components),
        "preview": preview_reference(components),
    }
    INTO.write_text(json.dumps(reference))
    print(f"{INTO}: {INTO.stat().st_size / 1e6:.1f} MB")


def prompt_reference(prompt: str, components) -> dict:
    ids = components.tokenizer(prompt, padding="max_length", truncation=True).input_ids
    words = known_and_unknown(prompt, components.tokenizer, components.text_encoder)
    return {"prompt": prompt, "ids": ids, "known": [known for _, known in words]}


def embed(prompt: str, components) -> torch.Tensor:
    kept = components.tokenizer.model_max_length - 2
    words = components.tokenizer.tokenize(prompt)
    assert len(words) <= kept, f"{prompt!r} is too long to be embedded without a warning"
    return embed_prompt(prompt, components.tokenizer, components.text_encoder)


def noise_reference() -> dict:
    """For each seed, what a new generator gives for each count; and what one gives in a row."""
    fresh = [
        {"seed": str(seed), "count": count, "values": numbers(torch.randn(count, generator=seeded(seed)))}
        for seed in SEEDS
        for count in COUNTS
    ]
    one, row = seeded(11), [3, 16, 1, 1, 1024, 2, 5]  # odd counts leave the second of a pair for the next
    return {"fresh": fresh, "row": {"seed": "11", "counts": row, "values": [numbers(torch.randn(n, generator=one)) for n in row]}}


def seeded(seed: int) -> torch.Generator:
    return torch.Generator("cpu").manual_seed(seed)


def schedule_reference(steps: int, components) -> dict:
    scheduler = scheduler_like(components.scheduler, type(components.scheduler))
    set_timesteps(scheduler, steps)
    last = [scheduler.get_lms_coefficient(min(4, steps), steps - 1, k) for k in range(min(4, steps))]
    middle = [scheduler.get_lms_coefficient(1, steps // 2, 0)]
    return {
        "steps": steps,
        "timesteps": scheduler.timesteps.tolist(),
        "sigmas": scheduler.sigmas.tolist(),
        "weights": {"last": last, "middle": middle},
    }


def run_reference(wish: Wish, components) -> dict:
    """The latents that a run starts from, those after each step, the last x0, the picture."""
    scheduler = components.scheduler if wish.sampler == "lms" else scheduler_like(components.scheduler, EulerDiscreteScheduler)
    image = find(wish.icon, "noto")[0].picture("orange", components.default_size[0]) if wish.icon else None
    start = starting_latents(components, [wish.seed], *components.default_size, wish.steps, image, wish.startStep)
    steps = list(
        denoise(
            components.unet,
            scheduler,
            start,
            embed(wish.prompt, components),
            negative_embeds=embed(wish.negative, components),
            guidance_scale=wish.guidance,
            num_inference_steps=wish.steps,
            start_step=wish.startStep,
        )
    )
    latents = steps[-1].latents if steps else start
    picture = latents_to_pil(latents, components.vae)[0]
    return {
        "wish": vars(wish),
        "image": base64.b64encode(image.convert("RGBA").tobytes()).decode() if image else None,
        "start": numbers(start),
        "latents": [numbers(step.latents) for step in steps],
        "x0": numbers(steps[-1].pred_original_sample) if steps else None,
        "picture": base64.b64encode(np.asarray(picture).tobytes()).decode(),
    }


@torch.no_grad()
def levels_reference(components) -> dict:
    """What the blocks give out for noise."""
    side = components.unet.config.sample_size
    kept, sample = {}, torch.randn(1, components.unet.config.in_channels, side, side, generator=seeded(0))

    def keep(name):
        return lambda module, given, out: kept.update({name: out[0] if isinstance(out, tuple) else out})

    for name, block in blocks_of(components.unet).items():
        block.register_forward_hook(keep(name))
    components.unet(sample, 500.0, embed(PROMPTS[2], components))
    maps = {name: {"shape": list(maps.shape), "values": numbers(maps)} for name, maps in kept.items()}
    return {"prompt": PROMPTS[2], "sample": numbers(sample), "timestep": 500, "maps": maps}


def preview_reference(components) -> dict:
    """What the exported matrix makes of some latents, (1, 4, h, w): pixels (3, H, W), as torch lays them out."""
    name = json.loads((MODELS / "manifest.json").read_text())["files"]["preview"]["name"]
    matrix = np.frombuffer(gzip.decompress((MODELS / name).read_bytes()), "<f4").reshape(9 * 4 + 1, -1)
    side, factor = components.unet.config.sample_size, components.factor
    latents = torch.randn(1, 4, side, side, generator=seeded(1))
    blocks = torch.from_numpy(patches(latents.numpy()) @ matrix).float()  # (h * w, 3 * factor * factor)
    pixels = blocks.view(side, side, 3, factor, factor).permute(2, 0, 3, 1, 4).reshape(3, side * factor, side * factor)
    return {"latents": numbers(latents), "pixels": numbers(pixels)}


def numbers(tensor: torch.Tensor) -> str:
    """float32, little-endian, in base64."""
    return base64.b64encode(tensor.detach().numpy().astype("<f4").tobytes()).decode()


if __name__ == "__main__":
    main()
