"""Stage 8: how good is emoji-sd? Measures it and writes the tables into its model card."""

import re
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from sd_helpers import generate, load
from sd_helpers.autoencoder import latents_to_pil, pil_to_latent, tensor_to_pil
from sd_helpers.gallery import STYLES
from sd_helpers.metrics import background_of, clip_score, nearest_concepts, psnr
from sd_helpers.models import EMBEDDED_FOLDER
from sd_helpers.pictures import to_rgb

from . import behaviours
from .data import COLOURS, HeldOut, Icons, concept_set
from .presets import Preset
from .trials import Trial, combination_trials, icon_trials, label_trials, one_word_changed, tag_trials

CARD = EMBEDDED_FOLDER / "README.md"
DRAWING = dict(guidance_scale=5, num_inference_steps=25, progress=False, batch_size=16)


def draw(components, trials: list[Trial], guidance_scale: float = DRAWING["guidance_scale"]) -> list[Image.Image]:
    """A picture for each trial, picture i from seed i."""
    return generate(components, [t.prompt for t in trials], seed=0, **DRAWING | {"guidance_scale": guidance_scale})


def score(pictures: list[Image.Image], trials: list[Trial]) -> dict[str, float]:
    """Shares of 0 to 1, and the mean CLIP score."""
    found = [nearest_concepts(p, t.background) for p, t in zip(pictures, trials, strict=True)]
    first = [f[0].icon for f in found]
    share = lambda hits: sum(hits) / len(trials)  # noqa: E731
    row = {
        "top1": share(t.right(i.concept) for i, t in zip(first, trials, strict=True)),
        "top5": share(any(t.right(m.icon.concept) for m in f) for f, t in zip(found, trials, strict=True)),
        "background": share(background_of(p) == t.background for p, t in zip(pictures, trials, strict=True)),
        "clip": sum(clip_score(pictures, [t.prompt for t in trials])) / len(trials),
    }
    if trials[0].style:
        row["style"] = share(i.style == t.style for i, t in zip(first, trials, strict=True))
        row["both"] = share(i.style == t.style and i.concept == t.concept for i, t in zip(first, trials, strict=True))
    return row


def both_right(pictures: list[Image.Image], trials: list[Trial], style: str) -> float:
    """The share of the trials that ask for `style` whose picture shows concept and style; not a number where none asks."""
    asked = [(p, t) for p, t in zip(pictures, trials, strict=True) if t.style == style]
    return score(*map(list, zip(*asked, strict=True)))["both"] if asked else float("nan")


def border_change(one: Image.Image, other: Image.Image) -> float:
    """Mean absolute difference of two pictures along their borders, in levels of 0 to 255."""
    change = np.abs(np.asarray(to_rgb(one), dtype=float) - np.asarray(to_rgb(other), dtype=float)).mean(axis=-1)
    return float(np.concatenate([change[0], change[-1], change[1:-1, 0], change[1:-1, -1]]).mean())


def round_trip(components, icons: Icons, unseen: torch.Tensor) -> float:
    """Mean PSNR in decibels over icons that training never showed, on named backgrounds."""
    colours = COLOURS[torch.arange(len(unseen)) % len(COLOURS)]
    pictures = tensor_to_pil(icons.compose(unseen, colours))
    values = [psnr(latents_to_pil(pil_to_latent(p, components.vae), components.vae)[0], p) for p in pictures]
    return sum(values) / len(values)


def latent_spread(components, icons: Icons) -> float:
    """Standard deviation of the scaled latents of all icons; the scaling factor should make it 1."""
    pictures = icons.compose(torch.arange(len(icons)), COLOURS[torch.arange(len(icons)) % len(COLOURS)])
    latents = [pil_to_latent(p, components.vae) for p in tensor_to_pil(pictures)]
    return float(torch.cat(latents).std())


def table(rows: dict[str, tuple[int, dict]]) -> str:
    """Markdown of the rows: name -> (prompts, scores)."""
    columns = ("top1", "top5", "background", "style", "both")
    lines = [
        "| prompts | n | top 1 | top 5 | background | style | top 1 and style | CLIP score |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, (count, row) in rows.items():
        shares = " | ".join(f"{row[k]:.0%}" if k in row else "" for k in columns)
        lines.append(f"| {name} | {count} | {shares} | {row['clip']:.2f} |")
    return "\n".join(lines)


def write_into_card(text: str) -> None:
    """Replace what stands between the card's evaluation markers."""
    card, marks = CARD.read_text(), r"(<!-- evaluation -->\n).*(<!-- end of evaluation -->)"
    if not re.search(marks, card, re.S):
        raise ValueError(f"{CARD} has no '<!-- evaluation -->' and '<!-- end of evaluation -->' lines to write between.")
    CARD.write_text(re.sub(marks, lambda m: f"{m[1]}{text}\n{m[2]}", card, flags=re.S))


def train(preset: Preset, work: Path, device: str) -> None:
    """Measure and write, as `python -m training evaluate` calls it."""
    components, held_out = load("emoji-sd"), HeldOut()
    size = components.default_size[0]
    icons = Icons(work, size, concept_set(preset.concepts))
    everything = Icons(work, size)
    never = "style and label, concept never shown in that style"
    kinds = {
        "label": label_trials(icons, 200, seed=0),
        "a tag in place of the label": tag_trials(icons, 200, seed=0),
        "style and label, combination trained": combination_trials(icons, held_out, 400, seed=0, unseen=False),
        "style and label, combination never trained": combination_trials(icons, held_out, 200, seed=0, unseen=True),
        never: icon_trials(icons, held_out),
    }
    rows, pictures = {}, {}
    for name, trials in kinds.items():
        print(f"evaluate: {len(trials)} prompts, {name}", flush=True)
        pictures[name] = draw(components, trials)
        rows[name] = len(trials), score(pictures[name], trials)
    carried = {style: both_right(pictures[never], kinds[never], style) for style in STYLES}
    ignored = generate(components, [""] * 200, seed=0, **DRAWING)
    rows["control: scored as the first row, but drawn from an empty prompt"] = 200, score(ignored, kinds["label"])

    print("evaluate: prompts that differ in one word", flush=True)
    changes = {}
    for word, pairs in one_word_changed(kinds["style and label, combination trained"][:60], seed=0).items():
        before, after = (draw(components, list(side)) for side in zip(*pairs, strict=True))
        changes[word] = sum(map(border_change, before, after)) / len(pairs)
    print("evaluate: behaviours", flush=True)
    settings = dict(guidance_scale=DRAWING["guidance_scale"], num_inference_steps=DRAWING["num_inference_steps"])
    shares = behaviours.measured(components, icons, **settings)
    for steps in (20, 50):
        burnt = behaviours.burnt(components, [trial.prompt for trial in kinds["label"]], steps)
        shares[f"LMS at guidance 7.5, {steps} steps, leaves specks that Euler does not"] = burnt
    spread_of_seeds = behaviours.variety(components, kinds["label"][:40], **settings)
    unseen = everything.indices(held_out, unseen=True)
    quality, spread = round_trip(components, everything, unseen), latent_spread(components, icons)
    text = [
        f"Guidance {DRAWING['guidance_scale']}, {DRAWING['num_inference_steps']} LMS steps, every prompt with a seed of its own, "
        'each ending in "on a (colour) background"; `python -m training evaluate`.\n',
        table(rows),
        "\n| behaviour | share |\n|---|---|\n" + "\n".join(f"| {name} | {share:.0%} |" for name, share in shares.items()),
        "\n- Same seed, one word of the prompt changed, mean change of the picture's border over 60 pairs, in levels of 255: "
        + ", ".join(f"{value:.1f} when the {word} changes" for word, value in changes.items())
        + ".",
        "- Concept never shown in that style, top 1 and style, by style: "
        + ", ".join(f"{style} {share:.0%}" for style, share in carried.items())
        + ".",
        f"- 40 prompts, eight seeds each: mean distance between pictures that show the thing {spread_of_seeds:.3f}, of 0 to 1.",
        f"- Round trip of {len(unseen)} icons never seen: mean PSNR {quality:.1f} dB.",
        f"- Standard deviation of latents times {components.vae.config.scaling_factor}: {spread:.3f}.",
    ]
    write_into_card("\n".join(text))
    print("\n".join(text), flush=True)
