"""Pictures of pictures: contact sheets and films, as PIL pictures or HTML that a notebook shows."""

from __future__ import annotations

import base64
import html
import io
import time
from typing import TYPE_CHECKING

from PIL import Image

from ..arguments import real_number, several, whole_number
from ..pictures import all_rgb, to_rgb

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

GAP = 2  # white pixels between tiles


def contact_sheet(pictures: list[Image.Image], columns: int | None = None, scale: int = 1) -> Image.Image:
    """Pictures of one size side by side, row by row.

    Args:
        columns: how many in a row; None puts all in one.
        scale: whole number by which every pixel is enlarged.

    Raises:
        ValueError: no pictures, or pictures of different sizes.
    """
    pictures, scale = all_rgb(pictures), whole_number("scale", scale, 1, 100)
    sizes = {p.size for p in pictures}
    if len(sizes) != 1:
        raise ValueError(f"a contact sheet needs pictures of one size, not of {sorted(sizes)} (width, height).")
    width, height = (side * scale for side in sizes.pop())
    columns = len(pictures) if columns is None else whole_number("columns", columns, 1, 1000)
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * (width + GAP) - GAP, rows * (height + GAP) - GAP), "white")
    for i, picture in enumerate(pictures):
        tile = picture.resize((width, height), Image.Resampling.NEAREST) if scale > 1 else picture
        sheet.paste(tile, (i % columns * (width + GAP), i // columns * (height + GAP)))
    return sheet


def show(picture: Image.Image | Figure, width: int | None = None, alt: str = ""):
    """A picture or a plot as a notebook's output; a picture is drawn at any width, but stored in its own pixels.

    What is enlarged more than twice, such as latents, keeps its pixels sharp instead of being blurred.

    Args:
        picture: a PIL picture, or a figure from `sd_helpers.plots`.
        width: on the screen, in pixels; None shows every pixel as one.
        alt: what is to be seen, for those who cannot see it.

    Returns:
        IPython.display.Image: a JPEG of high quality, or a PNG of a plot.
    """
    from IPython.display import Image as Shown

    if not hasattr(picture, "savefig"):
        picture = to_rgb(picture, "picture")
        width = picture.width if width is None else whole_number("width", width, 1)
        if width > 2 * picture.width:
            times = -(-width // picture.width)
            picture = picture.resize((picture.width * times, picture.height * times), Image.Resampling.NEAREST)
        return Shown(_jpeg(picture), format="jpeg", width=width, alt=str(alt) or None)
    drawn, buffer = io.BytesIO(), io.BytesIO()
    picture.savefig(drawn, format="png", dpi=120)
    # Plots have few colours: 64 are as good to the eye as all, in a quarter of the bytes.
    Image.open(drawn).convert("RGB").quantize(64).save(buffer, "PNG", optimize=True)
    return Shown(buffer.getvalue(), format="png", width=width, alt=str(alt) or None)


def grid(pictures: list[Image.Image], rows: list[str], columns: list[str] = (), width: int = 96, alt: str = ""):
    """A table of pictures, row by row, with a label before each row and above each column.

    Args:
        rows: a label for each row; "" for none.
        columns: a label for each column; empty for none.
        width: of one picture on the screen, in pixels.
        alt: what the whole shows; each picture's own text is its labels.

    Returns:
        IPython.display.HTML

    Raises:
        ValueError: a number of pictures that the labels do not divide into full rows.
    """
    from IPython.display import HTML

    pictures, rows, columns = all_rgb(pictures), several("rows", rows), several("columns", columns)
    width = whole_number("width", width, 1)
    per_row = len(columns) or (len(pictures) // len(rows) if rows else 0)
    if not rows or len(pictures) != len(rows) * per_row:
        raise ValueError(f"{len(pictures)} pictures do not fill a grid of {len(rows)} rows and {per_row} columns.")
    escape = lambda text: html.escape(str(text), quote=True)  # noqa: E731
    cell = "padding:1px 3px;text-align:center;background:none"
    titled = f"{cell};max-width:{width}px;white-space:normal;vertical-align:bottom"
    lines = [f'<table style="border-collapse:collapse;font-size:small" aria-label="{escape(alt)}">']
    if columns:
        lines.append(
            '<tr style="background:none"><th></th>' + "".join(f'<th style="{titled}">{escape(c)}</th>' for c in columns) + "</tr>"
        )
    for r, row in enumerate(rows):
        tiles = [f'<th style="{cell};text-align:right">{escape(row)}</th>']
        for c, picture in enumerate(pictures[r * per_row : (r + 1) * per_row]):
            text = escape(f"{row} {columns[c] if columns else ''}".strip())
            tiles.append(f'<td style="{cell}"><img alt="{text}" {_wide(picture, width)} src="{_webp(picture)}"></td>')
        lines.append('<tr style="background:none">' + "".join(tiles) + "</tr>")
    return HTML("\n".join([*lines, "</table>"]))


def captioned(picture: Image.Image, caption: str, width: int = 256):
    """A picture with a line of text under it, as one output: IPython.display.HTML."""
    from IPython.display import HTML

    text, width = html.escape(str(caption), quote=True), whole_number("width", width, 1)
    picture = to_rgb(picture, "picture")
    return HTML(f'<img alt="{text}" {_wide(picture, width)} src="{_webp(picture)}"><div>{text}</div>')


def _wide(picture: Image.Image, width: int) -> str:
    """How wide an <img> is; one that is enlarged more than twice, such as latents, keeps its pixels sharp."""
    return f'width="{width}"' + (' style="image-rendering:pixelated"' if width > 2 * picture.width else "")


def _jpeg(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85, subsampling=0, optimize=True)
    return buffer.getvalue()


def _webp(picture: Image.Image) -> str:
    """A data URL. Half the bytes of a JPEG of the same quality: a notebook may hold a hundred pictures."""
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=85, method=6)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def film(pictures: list[Image.Image], seconds: float = 5.0, width: int = 256, alt: str = "film"):
    """Pictures as a looping film that a notebook shows by itself; the last one stands for a second.

    Args:
        seconds: length of one loop.
        width: on the screen, in pixels.
        alt: what the film shows, for those who cannot see it.

    Returns:
        IPython.display.HTML, an animated WebP inside.
    """
    from IPython.display import HTML

    pictures, width, seconds = all_rgb(pictures), whole_number("width", width, 1), real_number("seconds", seconds, 0, 3600)
    durations = [max(20, round(1000 * seconds / len(pictures)))] * len(pictures)
    durations[-1] += 1000
    buffer = io.BytesIO()
    first, *rest = pictures
    first.save(buffer, "WEBP", save_all=True, append_images=rest, duration=durations, loop=0, quality=85)
    data = base64.b64encode(buffer.getvalue()).decode()
    return HTML(f'<img alt="{html.escape(str(alt), quote=True)}" width="{width}" src="data:image/webp;base64,{data}">')


def thumbnail(picture: Image.Image, side: int = 64) -> Image.Image:
    """A copy no larger than `side` pixels."""
    small = to_rgb(picture, "picture").copy()
    small.thumbnail((side, side))
    return small


def live() -> Live | None:
    """A place in a notebook's output that can be shown anew, or None outside of notebooks."""
    try:
        from IPython import get_ipython
        from IPython.display import HTML, display
    except ImportError:
        return None
    return Live(display(HTML(""), display_id=True)) if hasattr(get_ipython(), "kernel") else None


class Live:
    """An output that is shown anew, at most once a second: everything shown has to travel to the browser."""

    def __init__(self, handle, seconds: float = 1.0):
        self.handle, self.seconds, self.shown = handle, seconds, float("-inf")

    def update(self, make: Callable) -> None:
        """Show what `make()` returns, if the last time is long enough ago."""
        if time.monotonic() - self.shown >= self.seconds:
            self.handle.update(make())
            self.shown = time.monotonic()

    def clear(self) -> None:
        """Show nothing."""
        from IPython.display import HTML

        self.handle.update(HTML(""))
