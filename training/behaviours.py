"""What is in a picture, and where: things are cut out by what differs from the ground and brought to one size before the nearest
icon is sought, so that neither place nor size counts against them."""

import json
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from sd_helpers.autoencoder import to_rgb
from sd_helpers.metrics import background_of, nearest_concepts

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


def concepts_in(picture: Image.Image, mask: np.ndarray | None = None, count: int = 5) -> list[str]:
    """The concepts nearest to what a mask cuts out of a picture, by default everything that differs from the ground."""
    cut = cut_out(picture, thing_mask(picture) if mask is None else mask)
    return [match.icon.concept for match in nearest_concepts(cut, background_of(picture), count)] if cut else []


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
    mask = thing_mask(picture)
    if len(trial["things"]) == 1:
        found = concepts_in(picture, largest(mask) if trial["prompt"].split()[0] in NUMBERS else mask, count)
        return bool(set(found) & set(trial["things"][0]))
    found = [set(concepts_in(picture, half, count)) for half in halves(mask)]
    first, second = (set(thing) for thing in trial["things"])
    return bool((found[0] & first and found[1] & second) or (found[0] & second and found[1] & first))


def specks(picture: Image.Image) -> float:
    """The share of pixels that differ strongly from the median of the 5 x 5 around them: burning shows as specks."""
    pixels = np.asarray(to_rgb(picture), dtype=np.float64)
    smooth = ndimage.median_filter(pixels, size=(5, 5, 1))
    return float((np.abs(pixels - smooth).max(axis=-1) > 80).mean())
