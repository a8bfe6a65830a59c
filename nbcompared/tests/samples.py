"""Pictures to try the comparison of notebook outputs on."""

import io

import numpy as np
from PIL import Image, ImageDraw


def icon(colour="crimson", size=64) -> np.ndarray:
    """A picture with edges, flat parts and no symmetry, (size, size, 3)."""
    picture = Image.new("RGB", (size, size), "lightyellow")
    draw = ImageDraw.Draw(picture)
    draw.ellipse((size * 0.1, size * 0.2, size * 0.7, size * 0.6), fill=colour)
    draw.rectangle((size * 0.5, size * 0.5, size * 0.9, size * 0.8), fill="navy")
    return np.array(picture)


def grid() -> np.ndarray:
    """16 icons in a 4 x 4 grid, (256, 256, 3)."""
    colours = np.random.default_rng(0).permutation(["crimson", "gold", "teal", "violet"] * 4).reshape(4, 4)
    return np.vstack([np.hstack([icon(colour) for colour in row]) for row in colours])


def gradient() -> np.ndarray:
    """A smooth picture, (64, 64, 3)."""
    y, x = np.mgrid[:64, :64]
    return np.stack([4 * x, 4 * y, 128 + 0 * x], axis=-1).astype(np.uint8)


def noise(shape=(64, 64, 3), seed=1) -> np.ndarray:
    """Noise in all channels."""
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def encode(*pictures: np.ndarray, kind="PNG", **options) -> bytes:
    """A picture as a file; several of them as a film."""
    first, *others = map(Image.fromarray, pictures)
    file = io.BytesIO()
    first.save(file, kind, **({"save_all": True, "append_images": others} if others else {}), **options)
    return file.getvalue()


def shaken(picture: np.ndarray, levels=2) -> np.ndarray:
    """A picture with noise of up to `levels` of 255."""
    return np.clip(picture + np.random.default_rng(2).integers(-levels, levels + 1, picture.shape), 0, 255).astype(np.uint8)
