"""Stage 9, pictures for the model card and the README: what it draws, what it fails at, how it learned. None chosen by hand."""

import copy
import dataclasses
import textwrap
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image
from safetensors.torch import load_file

from sd_helpers import generate, load
from sd_helpers.metrics import nearest_concepts
from sd_helpers.views import contact_sheet

from .behaviours import TYPED, pair_trials
from .captions import with_article
from .data import HeldOut, Icons, concept_set
from .evaluate import DRAWING, draw, score
from .presets import Preset
from .trials import Trial, combination_trials

DOCS = Path(__file__).parents[1] / "docs"
QUALITY = 30  # of WebP: flat icons bear it, and the repository has a limit
STRIP = ["a picture of a puppy", "a skunk", "a mouse", "a leopard", "an otter", "a macaw", "a campfire", "a colorful dancer",
         "an astronaut", "a red apple on a blue background"]  # fmt: skip
CURVE_TRIALS = 100


def train(preset: Preset, work: Path, device: str) -> None:
    """Draw and save every sheet, as `python -m training sheets` calls it."""
    components, held_out = load("emoji-sd"), HeldOut()
    icons = Icons(work, components.default_size[0], concept_set(preset.concepts))
    DOCS.mkdir(exist_ok=True)
    labels = list(dict.fromkeys(n["label"] for n in icons.names))
    for file, prompts, columns, side in (
        ("strip.webp", STRIP, 10, 128),
        ("sheet.webp", [with_article(x) for x in labels], 18, 64),
    ):
        print(f"sheets: {file}, {len(prompts)} pictures", flush=True)
        pictures = [generate(components, p, seed=32, **DRAWING)[0].resize((side, side), Image.Resampling.BOX) for p in prompts]
        contact_sheet(pictures, columns).save(DOCS / file, quality=QUALITY, method=6)

    print("sheets: prompts as people type them, and scenes of two things", flush=True)
    typed, pairs = [trial["prompt"] for trial in TYPED], [trial["prompt"] for trial in pair_trials(icons, 20, seed=0)]
    save(named(generate(components, typed, seed=0, **DRAWING), typed, columns=10), "typed.webp")
    wide = generate(components, pairs, seed=0, width=2 * components.default_size[1], **DRAWING)
    save(named(wide, pairs, columns=4, width=2.7), "scenes.webp")

    trials = combination_trials(icons, held_out, 200, seed=0, unseen=False)
    pictures = draw(components, trials)
    print("sheets: the ten worst of 200, the learning curve", flush=True)
    save(failures(pictures, trials, count=10), "failures.webp")
    curve = work / f"denoiser{preset.suffix}-curve"
    steps, rows = learning_curve(components, curve, trials[:CURVE_TRIALS], DRAWING["guidance_scale"])
    if steps:
        save(plot(steps, rows), "learning-curve.webp")


def save(figure: Figure, file: str) -> None:
    """A figure as a small WebP file in docs."""
    figure.savefig(DOCS / file, dpi=100, pil_kwargs=dict(quality=QUALITY, method=6))


def named(pictures: list[Image.Image], names: list[str], columns: int, width: float = 1.35) -> Figure:
    """Pictures in a grid, each under its prompt; `width` inches for a picture."""
    rows = -(-len(pictures) // columns)
    figure = Figure(figsize=(width * columns, 1.7 * rows), layout="constrained")
    for axes, picture, name in zip(figure.subplots(rows, columns, squeeze=False).flat, pictures, names, strict=False):
        axes.imshow(picture, interpolation="nearest")
        axes.set_title(wrapped(name, round(18 * width)), fontsize=7)
    for axes in figure.axes:
        axes.set_axis_off()
    return figure


def wrapped(text: str, width: int = 24) -> str:
    """Text broken into lines between words."""
    return "\n".join(textwrap.wrap(text, width))


def failures(pictures: list[Image.Image], trials: list[Trial], count: int) -> Figure:
    """The pictures furthest from every icon of what was asked for, each above the icon that it resembles most."""
    ranked = []
    for picture, trial in zip(pictures, trials, strict=True):
        matches = nearest_concepts(picture, trial.background, count=10_000)
        own = next(m for m in matches if trial.right(m.icon.concept))
        ranked.append((own.distance, trial, picture, matches[0].icon))
    ranked.sort(key=lambda entry: -entry[0])
    worst = ranked[:count]
    names = [f"{trial.prompt}: {distance:.2f}" for distance, trial, _, _ in worst]
    likest = [icon.picture(trial.background, size=picture.width) for _, trial, picture, icon in worst]
    names += [f"nearest: {icon.style} {icon.label}" for *_, icon in worst]
    return named([picture for _, _, picture, _ in worst] + likest, names, columns=count)


def learning_curve(components, folder: Path, trials: list[Trial], guidance_scale: float) -> tuple[list[int], list[dict]]:
    """Scores of the U-Nets and text encoders that the denoiser's training left on its way: their steps and rows."""
    steps, rows = [], []
    for file in sorted(folder.glob("*.safetensors")):
        steps.append(int(file.stem))
        rows.append(score(draw(on_the_way(components, file), trials, guidance_scale), trials))
        print(f"sheets: step {steps[-1]}: " + ", ".join(f"{k} {v:.2f}" for k, v in rows[-1].items()), flush=True)
    return steps, rows


def on_the_way(components, file: Path):
    """The components with the averaged weights that the denoiser's training left in a file."""
    parts = {name: copy.deepcopy(getattr(components, name)) for name in ("unet", "text_encoder")}
    weights = load_file(file)
    for name, part in parts.items():
        own = {key.removeprefix(f"{name}."): value.float() for key, value in weights.items() if key.startswith(f"{name}.")}
        part.load_state_dict(own)
    return dataclasses.replace(components, **parts)


def plot(steps: list[int], rows: list[dict]) -> Figure:
    """Quality against training steps."""
    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axes = figure.subplots()
    for key, name in (("top5", "top 5"), ("top1", "top 1"), ("background", "background"), ("style", "style")):
        axes.plot(steps, [100 * row[key] for row in rows], marker=".", label=name)
    axes.set(xlabel="steps of the denoiser's training", ylabel=f"right, % of {CURVE_TRIALS} prompts", ylim=(0, 102))
    axes.legend(loc="lower right")
    return figure
