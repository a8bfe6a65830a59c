"""What is in a picture, and where: things are cut out by what differs from the ground and brought to one size before the nearest
icon is sought, so that neither place nor size counts against them. Nor does a colour that the prompt names: icons are then sought
in their own colours and in that one."""

import functools
import itertools
import json
import random
import re
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy import ndimage

from sd_helpers import gallery, generate
from sd_helpers.beyond.probes import watch_attention
from sd_helpers.gallery import BACKGROUNDS
from sd_helpers.metrics import COMPARED_AT, background_of, nearest_concepts
from sd_helpers.pictures import to_rgb
from sd_helpers.text import embed_prompt

from .captions import with_article
from .data import Icons
from .pool import compose, recoloured
from .scenes import Scene, Thing
from .trials import Trial

TYPED = json.loads((Path(__file__).parent / "typed.json").read_text())  # prompts as people type them, written before training
NUMBERS = ("two", "three", "four")
DIFFERS = 0.12  # from the ground, of 0 to 1, root mean square over the channels
MARGIN = 0.04  # around a thing that was cut out, as icons have it
SPECK = 0.002  # of the picture; smaller parts are not counted as things


def thing_mask(picture: Image.Image) -> np.ndarray:
    """Where a picture differs from the median of its border, (h, w); parts smaller than a speck are left out."""
    pixels = np.asarray(to_rgb(picture), dtype=np.float64) / 255
    border = np.concatenate([pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]])
    mask = np.sqrt(((pixels - np.median(border, axis=0)) ** 2).mean(axis=-1)) > DIFFERS
    parts, count = ndimage.label(mask, np.ones((3, 3)))
    sizes = ndimage.sum_labels(mask, parts, range(1, count + 1))
    return np.isin(parts, 1 + np.flatnonzero(sizes >= SPECK * mask.size))


def cut_out(picture: Image.Image, mask: np.ndarray, side: int = 128) -> Image.Image | None:
    """What the mask covers, filling a square of its ground; None where it covers nothing."""
    if not mask.any():
        return None
    pixels = np.asarray(to_rgb(picture))
    border = np.concatenate([pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]])
    ground = tuple(int(level) for level in np.median(border, axis=0))
    kept = np.where(mask[..., None], pixels, np.array(ground, dtype=np.uint8))
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    part = Image.fromarray(kept[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    long = round(max(part.size) * (1 + 2 * MARGIN))
    square = Image.new("RGB", (long, long), ground)
    square.paste(part, ((long - part.width) // 2, (long - part.height) // 2))
    return square.resize((side, side), Image.Resampling.BICUBIC)


def concepts_in(picture: Image.Image, mask: np.ndarray | None = None, count: int = 5, colour: str | None = None) -> list[str]:
    """The concepts nearest to what a mask cuts out of a picture, by default everything that differs from the ground.

    With a `colour`, icons painted in it count, too.
    """
    cut, ground = cut_out(picture, thing_mask(picture) if mask is None else mask), background_of(picture)
    if cut is None:
        return []
    references = np.concatenate([gallery.on_background(ground, COMPARED_AT), painted(colour, ground)]) if colour else None
    return [match.icon.concept for match in nearest_concepts(cut, ground, count, references)]


@functools.cache
def painted(colour: str, background: str) -> np.ndarray:
    """All icons of the gallery, painted in one colour as training paints them, on a background: (icons, 16, 16, 3), 0 to 1."""
    white, black = (gallery.on_background(name, COMPARED_AT) for name in ("white", "black"))
    ends = [np.array(BACKGROUNDS[name], dtype=np.float32) / 255 for name in ("white", "black")]
    share = ((white - black) / (ends[0] - ends[1])).mean(axis=-1, keepdims=True)  # of the ground that shows through
    icons = np.concatenate([black - share * ends[1], 1 - share], axis=-1).clip(0, 1)
    drawn = torch.stack([recoloured(icon, colour) for icon in torch.from_numpy(icons).movedim(-1, 1)])  # (icons, 4, 16, 16)
    ground = torch.tensor(BACKGROUNDS[background])[:, None, None] / 255
    return (drawn[:, :3] + ground * (1 - drawn[:, 3:])).movedim(1, -1).numpy()


def largest(mask: np.ndarray) -> np.ndarray:
    """Of several things the largest."""
    parts, count = ndimage.label(mask, np.ones((3, 3)))
    sizes = ndimage.sum_labels(mask, parts, range(1, count + 1))
    return parts == 1 + np.argmax(sizes) if count else mask


def halves(mask: np.ndarray) -> list[np.ndarray]:
    """The left and the right half of what the mask covers, divided in the middle of the picture."""
    left = np.zeros_like(mask)
    left[:, : mask.shape[1] // 2] = True
    return [mask & left, mask & ~left]


def typed_right(picture: Image.Image, trial: dict, count: int) -> bool:
    """Whether a picture shows all that a typed prompt names, among the `count` nearest concepts."""
    mask, colours = thing_mask(picture), named_colours(trial)
    if len(trial["things"]) == 1:
        mask = largest(mask) if trial["prompt"].split()[0] in NUMBERS else mask
        return bool(set(concepts_in(picture, mask, count, colours[0])) & set(trial["things"][0]))
    shown = [
        [bool(set(concepts_in(picture, half, count, colour)) & set(thing)) for thing, colour in zip(trial["things"], colours)]
        for half in halves(mask)
    ]
    return (shown[0][0] and shown[1][1]) or (shown[0][1] and shown[1][0])


def named_colours(trial: dict) -> list[str | None]:
    """The colour that a prompt names for each of its things, None where it names none; that of the ground is no thing's."""
    text = trial["prompt"].split(" on a")[0]
    parts = re.split(r" and | next to | beside | with | to the (?:left|right) of ", text) if len(trial["things"]) == 2 else [text]
    return [next((word for word in part.split() if word in BACKGROUNDS), None) for part in parts]


def specks(picture: Image.Image) -> float:
    """The share of pixels that differ strongly from the median of the 5 x 5 around them: burning shows as specks."""
    pixels = np.asarray(to_rgb(picture), dtype=np.float64)
    smooth = ndimage.median_filter(pixels, size=(5, 5, 1))
    return float((np.abs(pixels - smooth).max(axis=-1) > 80).mean())


def colour_of(picture: Image.Image, mask: np.ndarray) -> str:
    """The named colour nearest to most of what a mask covers, by hue first: shadows and lights of a colour are that colour."""
    pixels = np.asarray(to_rgb(picture), dtype=np.float64)[mask]
    names = list(BACKGROUNDS)
    named = np.array([BACKGROUNDS[name] for name in names], dtype=np.float64)
    nearest = np.linalg.norm(_without_light(pixels)[:, None] - _without_light(named)[None], axis=-1).argmin(axis=1)
    return names[np.bincount(nearest, minlength=len(names)).argmax()] if len(pixels) else ""


def _without_light(colours: np.ndarray) -> np.ndarray:
    """Colours with half of their brightness taken out."""
    return colours - 0.5 * colours.mean(axis=-1, keepdims=True)


def pair_trials(icons: Icons, count: int, seed: int, form: str = "{a} on the left and {b} on the right") -> list[dict]:
    """Prompts that name two things, on a ground whose colour is said."""
    rng = random.Random(seed)
    things = sorted({(n["concept"], n["label"]) for n in icons.names})
    trials = []
    for _ in range(count):
        (first, a), (second, b) = rng.sample(things, 2)
        ground = rng.choice(list(BACKGROUNDS))
        prompt = form.format(a=with_article(a), b=with_article(b)) + f" on {with_article(ground)} background"
        trials.append({"prompt": prompt, "things": [[first], [second]], "nouns": [a, b], "ground": ground})
    return trials


def colour_trials(icons: Icons, count: int, seed: int) -> list[dict]:
    """Prompts that name two things, each in a colour."""
    rng = random.Random(seed)
    plain = sorted({(n["concept"], n["label"]) for n in icons.names if n["label"].split()[0] not in BACKGROUNDS})
    colours, trials = ["red", "orange", "yellow", "green", "blue", "purple", "pink"], []
    for _ in range(count):
        (first, a), (second, b) = rng.sample(plain, 2)
        one, other = rng.sample(colours, 2)
        prompt = f"{with_article(f'{one} {a}')} on the left and {with_article(f'{other} {b}')} on the right on a white background"
        trials.append({"prompt": prompt, "things": [[first], [second]], "colours": [one, other], "ground": "white"})
    return trials


@torch.no_grad()
def mass_in_own_half(components, icons: Icons, trial: dict) -> list[float]:
    """The share of each noun's cross-attention that lies in the half of the picture where its thing stands (chance: 0.5).

    The picture is not drawn but composed of the trial's two icons and brought to four levels of noise, so that what is measured
    does not depend on how well the model draws; there is no guidance. The prompt names both things and no side.
    """
    style = random.Random(trial["prompt"]).choice(sorted({n["style"] for n in icons.names}))
    named = [[i for i, n in enumerate(icons.names) if n["concept"] == concept] for (concept,) in trial["things"]]
    chosen = [next((i for i in of if icons.names[i]["style"] == style), of[0]) for of in named]
    scene = Scene("pair", (Thing(chosen[0], 0.5), Thing(chosen[1], 1.5)), trial["ground"], wide=True)
    vae, schedule = components.vae, components.scheduler
    latents = vae.encode(compose([scene], icons.rgba.cpu(), icons.size)).latent_dist.mean * vae.config.scaling_factor
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
    with watch_attention(components.unet) as maps:
        embeddings = embed_prompt(trial["prompt"], components.tokenizer, components.text_encoder)
        for t in (100, 300, 500, 700):
            alpha = schedule.alphas_cumprod[t]
            components.unet(alpha.sqrt() * latents + (1 - alpha).sqrt() * noise, t, embeddings)
    shares = []
    for noun, half in zip(trial["nouns"], (0, 1)):
        before = f" {trial['prompt']} ".index(f" {noun} ")
        begin, end = (len(components.tokenizer(trial["prompt"][:cut]).input_ids) - 1 for cut in (before, before + len(noun)))
        heat = maps.heat(range(begin, end))
        shares.append(float(heat.chunk(2, dim=-1)[half].sum() / heat.sum()))
    return shares


def nouns_look(components, icons: Icons, count: int, least: float = 0.65) -> float:
    """The share of scenes of two things in which each noun has at least `least` of its attention in its thing's half, whichever
    of the two the prompt names first."""
    right = []
    for one, other in zip(*(pair_trials(icons, count, 2, form) for form in ("{a} and {b}", "{b} and {a}"))):
        right.append(min(mass_in_own_half(components, icons, one) + mass_in_own_half(components, icons, other)) >= least)
    return float(np.mean(right))


def variety(components, trials: list[Trial], seeds: int = 8, **drawing) -> float:
    """How different pictures of one prompt are: the root mean square distance, of 0 to 1, between those that show the thing."""
    distances = []
    for trial in trials:
        pictures = generate(components, [trial.prompt] * seeds, progress=False, **drawing)
        shown = [p for p in pictures if any(trial.right(m.icon.concept) for m in nearest_concepts(p, trial.background))]
        pixels = [np.asarray(to_rgb(p), dtype=np.float64) / 255 for p in shown]
        distances += [np.sqrt(np.mean((a - b) ** 2)) for a, b in itertools.combinations(pixels, 2)]
    return float(np.mean(distances)) if distances else float("nan")


def measured(components, icons: Icons, count: int = 200, **drawing) -> dict[str, float]:
    """Shares of 0 to 1, by what was asked for.

    Args:
        count: of the prompts of each kind but the typed ones, of which there are a hundred.
        drawing: as for `generate`.
    """
    height = components.default_size[0]

    def drawn(trials, wide=True):
        prompts = [trial["prompt"] for trial in trials]
        return generate(components, prompts, width=(2 if wide else 1) * height, progress=False, **drawing)

    share = {}
    pictures = drawn(TYPED, wide=False)
    for top in (1, 5):
        share[f"typed prompts, top {top}"] = np.mean([typed_right(p, t, top) for p, t in zip(pictures, TYPED)])
        for name, two in (("one thing", False), ("two things", True)):
            chosen = [typed_right(p, t, top) for p, t in zip(pictures, TYPED) if (len(t["things"]) == 2) == two]
            share[f"typed prompts, {name}, top {top}"] = np.mean(chosen)

    painted_ones = [(p, named_colours(t)[0]) for p, t in zip(pictures, TYPED) if len(t["things"]) == 1 and named_colours(t)[0]]
    share["typed prompts, one thing in the colour named"] = np.mean([colour_of(p, thing_mask(p)) == c for p, c in painted_ones])

    trials = pair_trials(icons, count, seed=0)
    found = [[set(concepts_in(p, half)) for half in halves(thing_mask(p))] for p in drawn(trials)]
    asked = [[set(thing) for thing in trial["things"]] for trial in trials]
    there = [[bool(f[0] & a or f[1] & a) for a in want] for f, want in zip(found, asked)]
    as_named = [[bool(f[i] & want[i]) for i in range(2)] for f, want in zip(found, asked)]
    share["two things, each somewhere"] = np.mean(there)
    share["two things, each in its own half"] = np.mean(as_named)
    share["two things, both"] = np.mean([all(right) for right in as_named])
    share["the named side, of those that are there"] = np.sum(as_named) / max(1, np.sum(there))

    trials = colour_trials(icons, count, seed=1)
    pictures = drawn(trials)
    bound = [[colour_of(p, h) == c for h, c in zip(halves(thing_mask(p)), t["colours"])] for p, t in zip(pictures, trials)]
    share["a colour bound to the right one of two"] = np.mean(bound)
    share["each noun's attention in its thing's half (65 %)"] = nouns_look(components, icons, count)
    return {name: float(value) for name, value in share.items()}


def burnt(components, prompts: list[str], steps: int, guidance_scale: float = 7.5) -> float:
    """The share of pictures in which LMS leaves specks that Euler does not, same prompts and seeds."""
    from dataclasses import replace

    from diffusers import EulerDiscreteScheduler

    from sd_helpers import scheduler_like

    euler = replace(components, scheduler=scheduler_like(components.scheduler, EulerDiscreteScheduler))
    settings = dict(num_inference_steps=steps, guidance_scale=guidance_scale, progress=False)
    pairs = zip(*(generate(c, prompts, **settings) for c in (components, euler)))
    return float(np.mean([specks(one) > 2 * specks(other) + 0.01 for one, other in pairs]))
