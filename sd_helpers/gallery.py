"""The emoji behind emoji-sd: thumbnails of every icon with its label and tags, larger pictures of those it learned first."""

from __future__ import annotations

import functools
import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from .arguments import one_text, whole_number

PACK = Path(__file__).parent / "gallery.zip"
PHOTO = Path(__file__).parent / "cat.jpg"  # that is no emoji: a cat, to see what the model makes of it
THUMBNAIL = 32  # pixels a side
LARGE = 128  # pixels a side of those that emoji-sd learned in its first run, and of a few more

# How captions name the four icon sets, and what each is.
STYLES = {
    "noto": "Noto Emoji",
    "twemoji": "Twemoji",
    "flat": "Fluent Emoji, flat",
    "glossy": "Fluent Emoji, colour",
}

# The named background colours of the training pictures, as RGB of 0 to 255.
BACKGROUNDS = {
    "white": (255, 255, 255),
    "black": (20, 20, 24),
    "grey": (150, 150, 155),
    "red": (215, 45, 45),
    "orange": (250, 150, 50),
    "yellow": (250, 220, 70),
    "green": (60, 165, 80),
    "blue": (45, 105, 215),
    "purple": (135, 80, 190),
    "pink": (250, 175, 205),
    "brown": (135, 90, 55),
}


@dataclass(frozen=True)
class Icon:
    """One icon of the gallery. `concept` is the slug of the label and joins its up to four styles."""

    concept: str
    style: str
    label: str
    tags: tuple[str, ...]
    group: int  # of emojibase: 0 smileys, 1 people, 3 animals and nature, 4 food, 5 travel, 6 activities, 7 objects
    position: int

    def picture(self, background: str = "white", size: int = THUMBNAIL) -> Image.Image:
        """The icon on a named background, `size` pixels a side; where only its thumbnail is in the pack, that enlarged."""
        size = whole_number("size", size, 1, 4096)
        drawn = _large(self.position) if size > THUMBNAIL else None
        drawn = drawn or _thumbnail(self.position)
        ground = Image.new("RGBA", drawn.size, BACKGROUNDS[checked_background(background)])
        pasted = Image.alpha_composite(ground, drawn).convert("RGB")
        return pasted if size == drawn.width else pasted.resize((size, size), Image.Resampling.LANCZOS)


@functools.cache
def icons() -> tuple[Icon, ...]:
    """All icons of the pack, in a fixed order."""
    with zipfile.ZipFile(PACK) as pack:
        records = json.loads(pack.read("icons.json"))
    return tuple(Icon(**{**r, "tags": tuple(r["tags"])}, position=i) for i, r in enumerate(records))


def find(words: str, style: str | None = None) -> list[Icon]:
    """Icons whose label is `words`, else those with that tag, else those whose label contains it."""
    wanted = one_text("words", words).strip().lower()
    if style is not None and (not isinstance(style, str) or style not in STYLES):
        raise ValueError(f"style={style!r} is none of {', '.join(STYLES)}.")
    pool = [icon for icon in icons() if style in (None, icon.style)]
    by_label = [icon for icon in pool if wanted in (icon.label.lower(), icon.concept)]
    by_tag = [icon for icon in pool if wanted in icon.tags]
    return by_label or by_tag or [icon for icon in pool if wanted and wanted in icon.label.lower()]


@functools.cache
def on_background(background: str, size: int) -> np.ndarray:
    """All icons on a named background as float RGB of 0 to 1, (icons, size, size, 3), areas averaged."""
    colour = np.array(BACKGROUNDS[checked_background(background)]) / 255
    rgba = np.stack([_small(i, size) for i in range(len(icons()))])
    alpha = rgba[..., 3:]
    return (rgba[..., :3] * alpha + colour * (1 - alpha)).astype(np.float32)


def checked_background(background: str) -> str:
    """The name itself, or a ValueError that lists the names there are."""
    if not isinstance(background, str) or background not in BACKGROUNDS:
        raise ValueError(f"background={background!r} is not one of the named colours: {', '.join(BACKGROUNDS)}.")
    return background


@functools.cache
def _sheet(name: str) -> Image.Image:
    with zipfile.ZipFile(PACK) as pack:
        return Image.open(io.BytesIO(pack.read(name))).convert("RGBA")


@functools.lru_cache(maxsize=256)
def _thumbnail(position: int) -> Image.Image:
    return _cell(_sheet("icons.webp"), position, THUMBNAIL)


@functools.lru_cache(maxsize=256)
def _large(position: int) -> Image.Image | None:
    """The icon at its larger size, or None where the pack has it only as a thumbnail."""
    place = _places().get(position)
    return None if place is None else _cell(_sheet("large.webp"), place, LARGE)


@functools.cache
def _places() -> dict[int, int]:
    """Icon's position -> its place on the sheet of larger ones."""
    with zipfile.ZipFile(PACK) as pack:
        return {position: place for place, position in enumerate(json.loads(pack.read("large.json")))}


def _cell(sheet: Image.Image, place: int, side: int) -> Image.Image:
    columns = sheet.width // side
    x, y = place % columns * side, place // columns * side
    return sheet.crop((x, y, x + side, y + side))


def _small(position: int, size: int) -> np.ndarray:
    """One icon, straight alpha, averaged over areas by way of premultiplied alpha: (size, size, 4) of 0 to 1."""
    premultiplied = _thumbnail(position).convert("RGBa").resize((size, size), Image.Resampling.BOX)
    return np.asarray(premultiplied.convert("RGBA"), dtype=np.float32) / 255
