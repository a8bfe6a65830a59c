"""Stage 5: how good is emoji-sd? Measures it and writes the table into its model card."""

import random
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from sd_helpers import generate, load
from sd_helpers.autoencoder import latents_to_pil, pil_to_latent, tensor_to_pil
from sd_helpers.gallery import BACKGROUNDS
from sd_helpers.metrics import background_of, clip_score, nearest_concepts, psnr
from sd_helpers.models import EMBEDDED_FOLDER
from sd_helpers.views import contact_sheet

from .captions import with_article
from .data import COLOURS, HeldOut, Icons, concept_set
from .presets import Preset

CARD = EMBEDDED_FOLDER / "README.md"
DOCS = Path(__file__).parents[1] / "docs"
STRIP = ["a picture of a puppy", "a skunk", "a mouse", "a leopard", "an otter", "a macaw", "a campfire", "a colorful dancer",
         "an astronaut", "a red apple on a blue background"]  # fmt: skip
DRAWING = dict(guidance_scale=5, num_inference_steps=25, progress=False, batch_size=16)
PROMPTS = 200


@dataclass(frozen=True)
class Trial:
    """A prompt and what its picture should show."""

    concept: str
    label: str
    background: str
    style: str | None = None

    @property
    def prompt(self) -> str:
        words = f"{self.style} {self.label}" if self.style else self.label
        return f"{with_article(words)} on {with_article(self.background)} background"


def label_trials(icons: Icons, count: int, seed: int) -> list[Trial]:
    """A seeded choice of labels on backgrounds, no style named; every concept comes up before one comes up again."""
    rng = random.Random(seed)
    labels = sorted({(n["concept"], n["label"]) for n in icons.names})
    rng.shuffle(labels)
    return [Trial(*labels[i % len(labels)], rng.choice(list(BACKGROUNDS))) for i in range(count)]


def combination_trials(icons: Icons, held_out: HeldOut, count: int, seed: int, unseen: bool) -> list[Trial]:
    """Combinations of concept, style and background: those that were held out, or as many that were trained on."""
    triples = [
        Trial(n["concept"], n["label"], background, n["style"])
        for n in icons.names
        for background in BACKGROUNDS
        if (n["concept"], n["style"]) not in held_out.icons and held_out.allows(n, background) != unseen
    ]
    return random.Random(seed).sample(triples, min(count, len(triples)))


def icon_trials(icons: Icons, held_out: HeldOut) -> list[Trial]:
    """Concepts in the one style in which training never showed them, on three backgrounds."""
    unseen = [n for n in icons.names if (n["concept"], n["style"]) in held_out.icons]
    return [Trial(n["concept"], n["label"], b, n["style"]) for n in unseen for b in ("white", "blue", "yellow")]


def score(pictures: list[Image.Image], trials: list[Trial]) -> dict[str, float]:
    """Shares of 0 to 1, and the mean CLIP score."""
    found = [nearest_concepts(p, t.background) for p, t in zip(pictures, trials, strict=True)]
    first = [f[0].icon for f in found]
    share = lambda hits: sum(hits) / len(trials)  # noqa: E731
    row = {
        "top1": share(i.concept == t.concept for i, t in zip(first, trials, strict=True)),
        "top5": share(t.concept in [m.icon.concept for m in f] for f, t in zip(found, trials, strict=True)),
        "background": share(background_of(p) == t.background for p, t in zip(pictures, trials, strict=True)),
        "clip": sum(clip_score(pictures, [t.prompt for t in trials])) / len(trials),
    }
    if trials[0].style:
        row["style"] = share(i.style == t.style for i, t in zip(first, trials, strict=True))
    return row


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
    lines = ["| prompts | n | top 1 | top 5 | background | style | CLIP score |", "|---|---|---|---|---|---|---|"]
    for name, (count, row) in rows.items():
        style = f"{row['style']:.0%}" if "style" in row else ""
        shares = " | ".join(f"{row[k]:.0%}" for k in ("top1", "top5", "background"))
        lines.append(f"| {name} | {count} | {shares} | {style} | {row['clip']:.2f} |")
    return "\n".join(lines)


def write_into_card(text: str) -> None:
    """Replace what stands between the card's evaluation markers."""
    card, marks = CARD.read_text(), r"(<!-- evaluation -->\n).*(<!-- end of evaluation -->)"
    if not re.search(marks, card, re.S):
        raise ValueError(f"{CARD} has no '<!-- evaluation -->' and '<!-- end of evaluation -->' lines to write between.")
    CARD.write_text(re.sub(marks, lambda m: f"{m[1]}{text}\n{m[2]}", card, flags=re.S))


def draw_sheets(components, icons: Icons) -> None:
    """The README's strip and the card's sheet of every concept: one seed each, none chosen by hand."""
    DOCS.mkdir(exist_ok=True)
    labels = list(dict.fromkeys(n["label"] for n in icons.names))
    for file, prompts, columns in (("strip.png", STRIP, 10), ("sheet.webp", [with_article(x) for x in labels], 16)):
        pictures = [generate(components, p, seed=32, **DRAWING)[0] for p in prompts]
        contact_sheet(pictures, columns, scale=max(1, 128 // pictures[0].width)).save(DOCS / file, optimize=True, quality=85)


def train(preset: Preset, work: Path, device: str) -> None:
    """Measure and write, as `python -m training evaluate` calls it."""
    components, held_out = load("emoji-sd"), HeldOut()
    size = components.default_size[0]
    icons = Icons(work, size, concept_set(preset.concepts))
    everything = Icons(work, size)
    kinds = {
        '"a (label) on a (colour) background"': label_trials(icons, PROMPTS, seed=0),
        "with a style, combination trained": combination_trials(icons, held_out, 100, seed=0, unseen=False),
        "with a style, combination never trained": combination_trials(icons, held_out, 100, seed=0, unseen=True),
        "with a style in which the concept was never shown": icon_trials(icons, held_out),
    }
    rows = {}
    for name, trials in kinds.items():
        print(f"evaluate: {len(trials)} prompts, {name}", flush=True)
        rows[name] = len(trials), score(generate(components, [t.prompt for t in trials], **DRAWING), trials)
        if "control" not in rows:
            ignored = generate(components, [""] * len(trials), **DRAWING)
            rows["control"] = len(trials), score(ignored, trials)
    rows["control: the same, scored on pictures drawn from an empty prompt"] = rows.pop("control")
    unseen = everything.indices(held_out, unseen=True)
    quality, spread = round_trip(components, everything, unseen), latent_spread(components, icons)
    text = [
        f"Guidance {DRAWING['guidance_scale']}, {DRAWING['num_inference_steps']} LMS steps; `python -m training evaluate`.\n",
        table(rows),
        f"\n- Round trip of {len(unseen)} icons never seen: mean PSNR {quality:.1f} dB.",
        f"- Standard deviation of latents times {components.vae.config.scaling_factor}: {spread:.3f}.",
    ]
    write_into_card("\n".join(text))
    print("\n".join(text), flush=True)
    draw_sheets(components, icons)
