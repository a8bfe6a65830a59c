"""Training pictures: the rendered icons composited on backgrounds, and what is held out of training."""

import json
import random
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from sd_helpers.gallery import BACKGROUNDS, STYLES

from .render import COLUMNS, ICON_SIZE

HERE = Path(__file__).parent
COLOURS = torch.tensor(list(BACKGROUNDS.values())) / 255 * 2 - 1  # (11, 3) in [-1, 1]
BACKGROUND_NAMES = list(BACKGROUNDS)


class Icons:
    """All rendered icons at `size` pixels, premultiplied, on `device`.

    `names[i]` is the record of icon i: concept, style, label, tags, group. `concepts` restricts the set.
    """

    def __init__(self, folder: Path, size: int, concepts: list[str] | None = None, device="cpu"):
        names = json.loads((folder / "icons.json").read_text())
        keep = [i for i, n in enumerate(names) if concepts is None or n["concept"] in concepts]
        self.names = [names[i] for i in keep]
        self.size, self.device = size, device
        self.rgba = torch.stack([_shrink(icon, size) for icon in _cut(folder / "icons.webp", keep)]).to(device)

    def __len__(self) -> int:
        return len(self.names)

    def compose(self, index, colours, shift=None, mirror=None):
        """Icons `index` (B,) on `colours` (B, 3) in [-1, 1]: pictures (B, 3, S, S) in [-1, 1].

        `shift` (B, 2) moves each icon by whole pixels (right, down); `mirror` (B,) flips it.
        """
        rgba = self.rgba[index].float() / 255  # (B, 4, S, S), premultiplied
        if mirror is not None:
            rgba = torch.where(mirror[:, None, None, None], rgba.flip(-1), rgba)
        if shift is not None:
            rgba = _translate(rgba, shift)
        background = (colours[:, :, None, None] + 1) / 2
        return (rgba[:, :3] + (1 - rgba[:, 3:]) * background) * 2 - 1

    @cached_property
    def by_concept(self) -> dict[str, dict[str, int]]:
        """concept -> style -> index."""
        table: dict[str, dict[str, int]] = {}
        for i, n in enumerate(self.names):
            table.setdefault(n["concept"], {})[n["style"]] = i
        return table

    def indices(self, held_out: "HeldOut", unseen: bool = False) -> torch.Tensor:
        """The icons to train on, or with `unseen` those that training never shows."""
        return torch.tensor([i for i, n in enumerate(self.names) if ((n["concept"], n["style"]) in held_out.icons) == unseen])


class HeldOut:
    """What training never sees: whole icons, and combinations of concept, style and background."""

    def __init__(self, path: Path = HERE / "held_out.json"):
        lists = json.loads(path.read_text())
        self.icons = {tuple(x) for x in lists["icons"]}
        self.combinations = {tuple(x) for x in lists["combinations"]}

    def allows(self, name: dict, background: str) -> bool:
        return (name["concept"], name["style"], background) not in self.combinations


def concept_set(files: tuple[str, ...]) -> list[str] | None:
    """The concepts a preset trains on, from text files beside this one; None, which stands for all, without a file."""
    return [concept for file in files for concept in (HERE / file).read_text().split()] or None


def choose_held_out(names: list[dict], chosen: list[str], added: list[str] = (), seed: int = 0) -> dict:
    """Draw the lists of held_out.json: one icon in twenty anywhere, a few and some combinations of the chosen concepts.

    `added` are concepts chosen later: of them the icons already held out stay so, and some combinations join.
    """
    rng = random.Random(seed)
    others = sorted((n["concept"], n["style"]) for n in names if n["concept"] not in chosen)
    lone = [(c, rng.choice(list(STYLES))) for c in rng.sample(sorted(chosen), 12)]
    triples = _triples(chosen, without=lone)
    icons = sorted(rng.sample(others, len(others) // 20) + lone)
    combinations = rng.sample(triples, len(triples) // 25)
    triples = _triples(added, without=icons)
    combinations += random.Random(seed + 1).sample(triples, len(triples) // 25)
    return {"icons": icons, "combinations": sorted(combinations)}


def _triples(concepts, without) -> list[tuple[str, str, str]]:
    """Every concept in every style on every background, without those icons."""
    return [(c, s, b) for c in sorted(concepts) for s in STYLES for b in BACKGROUNDS if (c, s) not in without]


def _cut(sheet: Path, keep: list[int]):
    Image.MAX_IMAGE_PIXELS = None
    pixels = np.asarray(Image.open(sheet).convert("RGBA"))
    for i in keep:
        y, x = i // COLUMNS * ICON_SIZE, i % COLUMNS * ICON_SIZE
        yield torch.from_numpy(pixels[y : y + ICON_SIZE, x : x + ICON_SIZE].copy()).permute(2, 0, 1)


def _shrink(rgba, size):
    """Premultiply, then average areas: no dark fringes. (4, 128, 128) uint8 -> (4, size, size) uint8."""
    rgba = rgba.float()
    rgba[:3] *= rgba[3:] / 255
    return F.interpolate(rgba[None], (size, size), mode="area")[0].round().to(torch.uint8)


def _translate(pictures, shift):
    """Move picture b by shift[b] = (right, down) whole pixels, empty where nothing comes in."""
    size, reach = pictures.shape[-1], int(shift.abs().max())
    padded = F.pad(pictures, [reach] * 4)
    rows = torch.arange(size, device=pictures.device)
    y = rows[None] + reach - shift[:, 1:]  # (B, S)
    x = rows[None] + reach - shift[:, :1]  # (B, S)
    batch = torch.arange(len(pictures), device=pictures.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[batch, y[:, :, None], x[:, None, :]].permute(0, 3, 1, 2)
