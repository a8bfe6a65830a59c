"""Pictures of pictures: contact sheets and films, as PIL pictures or HTML that a notebook shows."""

from __future__ import annotations

import base64
import html
import io

from PIL import Image

GAP = 2  # white pixels between tiles


def contact_sheet(pictures: list[Image.Image], columns: int | None = None, scale: int = 1) -> Image.Image:
    """Pictures of one size side by side, row by row.

    Args:
        columns: how many in a row; None puts all in one.
        scale: whole number by which every pixel is enlarged.

    Raises:
        ValueError: no pictures, or pictures of different sizes.
    """
    sizes = {p.size for p in pictures}
    if len(sizes) != 1:
        raise ValueError(f"a contact sheet needs pictures of one size, not {sorted(sizes) or 'none at all'}.")
    width, height = (side * scale for side in sizes.pop())
    columns = columns or len(pictures)
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * (width + GAP) - GAP, rows * (height + GAP) - GAP), "white")
    for i, picture in enumerate(pictures):
        tile = picture.resize((width, height), Image.Resampling.NEAREST) if scale > 1 else picture
        sheet.paste(tile, (i % columns * (width + GAP), i // columns * (height + GAP)))
    return sheet


def show(picture: Image.Image, width: int | None = None, alt: str = ""):
    """A picture as a notebook's output: drawn at any width, but stored in its own pixels, so that the file stays small.

    Args:
        width: on the screen, in pixels; None shows every pixel as one.
        alt: what the picture shows, for those who cannot see it.

    Returns:
        IPython.display.Image, a JPEG of high quality inside.
    """
    from IPython.display import Image as Shown

    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "JPEG", quality=88, subsampling=0)
    return Shown(buffer.getvalue(), format="jpeg", width=width or picture.width, alt=alt or None)


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

    durations = [max(20, round(1000 * seconds / len(pictures)))] * len(pictures)
    durations[-1] += 1000
    buffer = io.BytesIO()
    first, *rest = pictures
    first.save(buffer, "WEBP", save_all=True, append_images=rest, duration=durations, loop=0, quality=85)
    data = base64.b64encode(buffer.getvalue()).decode()
    return HTML(f'<img alt="{html.escape(alt, quote=True)}" width="{width}" src="data:image/webp;base64,{data}">')
