"""A thousand calls with wrong things: each works or says which argument was wrong, and nothing is changed by it.

FUZZ=1000 calls as many; the gate takes a hundred.
"""

import copy
import inspect
import math
import os
import random
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import sd_helpers
from sd_helpers import metrics

CALLS = int(os.environ.get("FUZZ", "100"))
PICTURE = Image.new("RGB", (64, 64), "orange")
MASK = Image.fromarray(np.eye(64, dtype=np.uint8) * 255)


def good(components, folder) -> dict:
    """Each public function with arguments that work and take little time: name -> (function, arguments)."""
    c, quick = components, dict(num_inference_steps=2, guidance_scale=3)
    latents, noise = (torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    words, none = (sd_helpers.embed_prompt(text, c.tokenizer, c.text_encoder) for text in ("a fox", ""))
    pixels = torch.zeros(2, 3, 64, 64)
    text = dict(tokenizer=c.tokenizer, text_encoder=c.text_encoder)
    step = next(iter(sd_helpers.denoise(c.unet, c.scheduler, latents * 14, words, guidance_scale=1, num_inference_steps=2)))
    with sd_helpers.watch_attention(c.unet) as maps:
        c.unet(latents, 500, words)
    with sd_helpers.watch_attention(c.unet, heads=True) as apart:
        c.unet(latents, 500, words)
    learned = sd_helpers.LearnedWord("<x>", words[0, :1])
    lora, _ = sd_helpers.learn_lora(c, [PICTURE], ["a fox"], num_steps=1, rank=1, batch_size=1)
    swept = sd_helpers.sweep(c, "a", image=PICTURE, start_steps=[1], guidance_scales=[3], num_inference_steps=1, progress=False)
    timed = copy.deepcopy(c.scheduler)
    sd_helpers.set_timesteps(timed, 5)
    here = dict(height=64, width=64, progress=False)
    return {
        "generate": dict(
            components=c, prompt="a fox", negative_prompt="", seed=0, image=PICTURE, start_step=1,
            num_images=1, batch_size=1, **quick, **here
        ),
        "sweep": dict(
            components=c, prompt="a fox", image=PICTURE, start_steps=[1], guidance_scales=[3], seeds=[0],
            num_inference_steps=2, negative_prompt="", progress=False, batch_size=1
        ),
        "inpaint": dict(components=c, prompt="a fox", image=PICTURE, mask=MASK, negative_prompt="", seed=0, **quick),
        "denoise": dict(
            unet=c.unet, scheduler=c.scheduler, latents=latents, prompt_embeds=words, negative_embeds=none,
            start_step=0, **quick
        ),
        "invert": dict(
            unet=c.unet, scheduler=c.scheduler, latents=latents, prompt_embeds=words, negative_embeds=none,
            start_step=1, **quick
        ),
        "keep_outside": dict(
            mask=torch.ones(1, 1, 8, 8), image_latents=latents, noise=noise, scheduler=c.scheduler,
            num_inference_steps=2
        ),
        "mask_to_latents": dict(mask=MASK, components=c),
        "outpainting_canvas": dict(image=PICTURE, size=(96, 64), at=(8, 0)),
        "outlined": dict(image=PICTURE, mask=MASK),
        "seam": dict(image=PICTURE, mask=MASK),
        "pil_to_latent": dict(image=PICTURE, vae=c.vae),
        "pil_to_tensor": dict(image=PICTURE),
        "latents_to_pil": dict(latents=latents, vae=c.vae),
        "tensor_to_pil": dict(pictures=pixels),
        "to_rgb": dict(image=PICTURE),
        "to_mask": dict(mask=MASK, size=(64, 64)),
        "fitted": dict(image=PICTURE, height=8, width=8),
        "embed_prompt": dict(prompt="a fox", **text),
        "token_embeddings": dict(prompt="a fox", **text),
        "encode_embeddings": dict(inputs_embeds=torch.zeros(1, 77, words.shape[-1]), text_encoder=c.text_encoder),
        "unknown_words": dict(prompt="a fox", **text),
        "known_and_unknown": dict(prompt="a fox", **text),
        "lost_words": dict(prompt="a fox", tokenizer=c.tokenizer),
        "prompt_positions": dict(prompt="a fox", tokenizer=c.tokenizer),
        "set_timesteps": dict(scheduler=copy.deepcopy(c.scheduler), num_inference_steps=5),
        "scheduler_like": dict(scheduler=c.scheduler, cls=type(c.scheduler)),
        "noise_level": dict(scheduler=timed, index=1),
        "add_noise": dict(scheduler=timed, latents=latents, noise=noise, index=1),
        "starting_noise": dict(components=c, seed=0, height=64, width=64),
        "starting_latents": dict(
            components=c, seeds=[0], height=64, width=64, num_inference_steps=2, image=PICTURE, start_step=1
        ),
        "latent_and_noise": dict(components=c, image=PICTURE, seed=0),
        "generator_of": dict(seed=0),
        "noise_predictor": dict(unet=c.unet, prompt_embeds=words, negative_embeds=none, guidance_scale=2),
        "steer": dict(loss=sd_helpers.symmetry_loss, strength=1, vae=c.vae, every=1),
        "loss_gradient": dict(step=step, loss=lambda seen: seen.square().mean(dim=(1, 2, 3)), vae=c.vae),
        "decoded": dict(latents=latents, vae=c.vae),
        "blueness": dict(pixels=pixels),
        "colour_loss": dict(pixels=pixels, colour="red"),
        "palette_loss": dict(pixels=pixels, colours=["red", (1, 2, 3)]),
        "symmetry_loss": dict(pixels=pixels),
        "likeness_loss": dict(pixels=pixels, target=PICTURE),
        "prompt_loss": dict(pixels=pixels, prompt="a fox"),
        "overlay": dict(picture=PICTURE, heat=torch.rand(8, 8)),
        "overlap": dict(heat=torch.rand(8, 8), mask=torch.eye(8).bool()),
        "psnr": dict(image=PICTURE, reference=PICTURE),
        "mean_difference": dict(image=PICTURE, reference=PICTURE),
        "background_of": dict(image=PICTURE),
        "nearest_concepts": dict(image=PICTURE, background="blue", count=2),
        "clip_score": dict(images=[PICTURE], prompts=["a fox"]),
        "contact_sheet": dict(pictures=[PICTURE, PICTURE], columns=1, scale=2),
        "show": dict(picture=PICTURE, width=64, alt="x"),
        "captioned": dict(picture=PICTURE, caption="x", width=64),
        "grid": dict(pictures=[PICTURE, PICTURE], rows=["a"], columns=["b", "c"], width=64, alt="x"),
        "film": dict(pictures=[PICTURE, PICTURE], seconds=1, width=64, alt="x"),
        "watch_attention": dict(unet=c.unet, num_images=1, max_side=8),
        "heat": dict(self=maps, positions=1, steps=0, layers=None, size=(8, 8), image=0),
        "keep_attention": dict(unet=c.unet, maps=apart, steps=[0]),
        "latents_and_noise": dict(components=c, image=PICTURE, seeds=[0, 1]),
        "embed_word": dict(prompt="a <x>", word="<x>", rows=words[0, :1], **text),
        "with_word": dict(components=c, learned=learned),
        "learn_word": dict(
            components=c, pictures=[PICTURE], prompts=["a <x>"], word="<x>", initial_word="fox", num_steps=1, batch_size=1,
            learning_rate=0.01, seed=0,
        ),
        "learn_lora": dict(
            components=c, pictures=[PICTURE], prompts=["a fox"], num_steps=1, rank=1, batch_size=1, learning_rate=0.01, seed=0,
        ),
        "save_word": dict(learned=learned, path=folder / "new.safetensors"),
        "load_word": dict(path=sd_helpers.save_word(learned, folder / "word.safetensors"), word="<y>"),
        "save_lora": dict(components=lora, path=folder / "newer.safetensors"),
        "load_lora": dict(components=c, path=sd_helpers.save_lora(lora, folder / "lora.safetensors"), scale=1),
        "picture": dict(self=sd_helpers.gallery.find("fox")[0], background="blue", size=32),
        "image": dict(self=swept, start_step=1, guidance_scale=3, seed=0),
        "load": dict(model="emoji-sd", device="cpu", dtype=None, runtime="torch"),
        "find": dict(words="fox", style="noto"),
        "exact_noise": dict(x=torch.zeros(3, 2), sigma=1.0, points=torch.ones(4, 2)),
        "question": dict(text="Which?", choices=["a", "b"]),
    }  # fmt: skip


FUNCTIONS = {
    "heat": sd_helpers.AttentionMaps.heat, "find": sd_helpers.gallery.find, "picture": sd_helpers.gallery.Icon.picture,
    "image": sd_helpers.Sweep.image,
}  # fmt: skip
CONTEXTS = ("watch_attention", "keep_attention")
LEFT_OUT = {
    "guided": "the formula, and torch's words for tensors that do not fit",
    "attention_probabilities": "called by attention layers", "noise_loss": "the objective, called by what was checked",
    "lora_training": "as learn_lora", "word_training": "as learn_word",
    "explore": "shows widgets", "explore_machine": "shows widgets", "uploaded": "takes what a widget holds",
}  # fmt: skip
NEEDED = ("self", "step")  # what only the package makes


def function_of(name):
    return FUNCTIONS.get(name) or getattr(sd_helpers, name)


def called(name: str, arguments: dict) -> None:
    """Call a function, and go through what it gives step by step."""
    result = function_of(name)(**arguments)
    if name == "denoise":
        list(result)
    if name in CONTEXTS:
        with result:
            pass


def wrong(rng: random.Random):
    """A value that is probably of the wrong kind, size, range or mode."""
    return rng.choice([
        None, True, "", "x", "a fox", b"x", -1, 0, 3, 7, 2**70, 0.5, -2.5, math.nan, math.inf, 1e30, (), [], {}, [None],
        ["a", "b"], [1, 2], (64, 64), [0, -1], ["7"], object(), Path("no/such.png"), np.array(5), np.float32("nan"),
        np.zeros(0), np.zeros((8, 8)), np.full((64, 64), 300.0), np.zeros((64, 64, 3), np.uint8), torch.tensor(3),
        torch.tensor(math.nan), torch.zeros(0), torch.zeros(1, 4, 8, 8), torch.zeros(3, 4, 8, 8), torch.zeros(1, 1, 8, 8),
        torch.full((1, 4, 8, 8), math.nan), torch.zeros(1, 77, 128), torch.zeros(2, 77, 128), torch.zeros(1, 5, 128),
        torch.zeros(1, 77, 9), torch.zeros(2, 3, 64, 64), torch.zeros(2, 3, 64, 64).int(), torch.zeros(8, 8), PICTURE,
        [PICTURE], [PICTURE, MASK], Image.new("RGBA", (64, 64)), Image.new("I;16", (64, 64)), Image.new("RGB", (7, 9)),
        Image.new("L", (1, 1)), Image.new("RGB", (0, 5)), lambda *args, **rest: "x",
    ])  # fmt: skip


def state_of(components) -> list:
    """What no call may change."""
    parts = (components.unet, components.vae, components.text_encoder)
    sums = [float(p.double().sum()) for part in parts for p in part.parameters()]
    grads = [p.requires_grad or p.grad is not None for part in parts for p in part.parameters()]
    scheduler = {key: str(value) for key, value in vars(components.scheduler).items() if key != "_internal_dict"}
    scheduler |= {key: value for key, value in components.scheduler.config.items() if not key.startswith("_")}
    chance = torch.get_rng_state().tolist(), str(np.random.get_state()[1].tolist()), random.getstate()
    same = {key: id(value) for key, value in vars(components).items()}
    return [sums, grads, scheduler, same, chance]


@pytest.fixture(scope="module")
def table(components, tmp_path_factory):
    return good(components, tmp_path_factory.mktemp("fuzz"))


def test_every_public_function_is_here(table):
    functions = {name for name in sd_helpers._WHERE if inspect.isfunction(getattr(sd_helpers, name))}
    assert functions == {*table, *LEFT_OUT} - set(FUNCTIONS)


def test_the_good_arguments_are_good_and_nothing_is_changed_by_them(components, table):
    metrics.picture_tower.cache_clear()  # its making is looked at, too
    for name, arguments in table.items():
        before = state_of(components)
        called(name, arguments)
        assert state_of(components) == before, name


def test_a_wrong_thing_works_or_is_named(components, table):
    before, rng, failed = state_of(components), random.Random(int(os.environ.get("FUZZ_SEED", "0"))), []
    for _ in range(CALLS):
        name = rng.choice(sorted(table))
        argument, value = rng.choice([a for a in table[name] if a not in NEEDED]), wrong(rng)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                called(name, table[name] | {argument: value})
        except (ValueError, TypeError, OSError) as error:
            if argument.rstrip("s") not in str(error):
                failed.append(f"{name}({argument}={value!r:.60}): {type(error).__name__}: {str(error)[:100]}")
        except Exception as error:  # noqa: BLE001
            failed.append(f"{name}({argument}={value!r:.60}): {type(error).__name__}: {str(error)[:100]}")
    assert not failed, "\n".join(failed)
    assert state_of(components) == before
