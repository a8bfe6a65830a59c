"""A pen for diagrams: boxes, arrows and words as an SVG picture, on a panel of its own colour for light and dark pages."""

from __future__ import annotations

import base64
import html
from typing import NamedTuple

PAPER, INK, FAINT, LIT = "#fbfaf6", "#222222", "#6f6f6f", "#fbe26b"
BLUE, RED, GREEN = "#0072B2", "#B3400A", "#00785a"
KINDS = {  # what a box holds -> (its rim, its ground)
    "words": ("#0072B2", "#e9f3fa"),
    "latents": ("#B36B00", "#fdf3e1"),
    "pixels": ("#00785a", "#e6f5f0"),
    "network": ("#7a3e68", "#f8eef5"),
    "sum": ("#555555", "#efefef"),
    "": ("#8a8a8a", "#ffffff"),
}
FONT = "font-family='system-ui, Segoe UI, Helvetica, Arial, sans-serif'"
MONO = "font-family='ui-monospace, Menlo, Consolas, monospace'"
SHOWN = 1.2  # times its own size: the small lines, 11 pixels, are then as large as a page's code


class Box(NamedTuple):
    """Where a box stands, in pixels; its anchors are where arrows begin and end."""

    x: float
    y: float
    width: float
    height: float

    @property
    def left(self) -> tuple[float, float]:
        """The middle of the left side."""
        return self.x, self.y + self.height / 2

    @property
    def right(self) -> tuple[float, float]:
        """The middle of the right side."""
        return self.x + self.width, self.y + self.height / 2

    @property
    def top(self) -> tuple[float, float]:
        """The middle of the upper side."""
        return self.x + self.width / 2, self.y

    @property
    def bottom(self) -> tuple[float, float]:
        """The middle of the lower side."""
        return self.x + self.width / 2, self.y + self.height


class Drawing:
    """An SVG picture in the making; x to the right, y downwards, in pixels."""

    def __init__(self, width: float, height: float):
        self.width, self.height, self.parts = width, height, []

    def box(self, x, y, width, height, lines=(), kind: str = "", lit: bool = False, dashed: bool = False) -> Box:
        """A box with lines of text; the first is its name, the others are small and in the letters of code."""
        rim, ground = KINDS[kind]
        dash = " stroke-dasharray='5 4'" if dashed else ""
        self.parts.append(
            f"<rect x='{x:.1f}' y='{y:.1f}' width='{width:.1f}' height='{height:.1f}' rx='6' fill='{LIT if lit else ground}' "
            f"stroke='{rim}' stroke-width='{2.5 if lit else 1.3}'{dash}/>"
        )
        lines = [lines] if isinstance(lines, str) else list(lines)
        step = 16
        for i, line in enumerate(lines):
            place = y + height / 2 + 4.5 + step * (i - (len(lines) - 1) / 2)
            self.text(x + width / 2, place, line, size=13 if i == 0 else 11, bold=i == 0, mono=i > 0)
        return Box(x, y, width, height)

    def text(self, x, y, words, size: float = 12, anchor: str = "middle", bold=False, mono=False, colour: str = INK) -> None:
        """A line of text that begins, ends or has its middle at x."""
        letters = (MONO if mono else FONT) + (" font-weight='600'" if bold else "")
        self.parts.append(
            f"<text x='{x:.1f}' y='{y:.1f}' font-size='{size}' text-anchor='{anchor}' fill='{colour}' {letters}>"
            f"{html.escape(str(words))}</text>"
        )

    def arrow(self, *points, label="", colour: str = INK, dashed=False, above: float = 6, head=True, width: float = 1.5) -> None:
        """A line through points that ends in a head, its label above the middle of its longest stretch."""
        path = " ".join(f"{'M' if i == 0 else 'L'}{x:.1f} {y:.1f}" for i, (x, y) in enumerate(points))
        dash = " stroke-dasharray='5 4'" if dashed else ""
        tip = f" marker-end='url(#tip-{colour.strip('#')})'" if head else ""
        self.parts.append(f"<path d='{path}' fill='none' stroke='{colour}' stroke-width='{width}'{dash}{tip}/>")
        if label:
            long = max(zip(points, points[1:]), key=lambda pair: abs(pair[0][0] - pair[1][0]) + abs(pair[0][1] - pair[1][1]))
            (x1, y1), (x2, y2) = long
            self.text((x1 + x2) / 2, (y1 + y2) / 2 - above, label, size=11, mono=True, colour=colour)

    def circle(self, x, y, radius: float = 4, colour: str = INK, filled=True) -> None:
        """A dot, or a ring."""
        self.parts.append(
            f"<circle cx='{x:.1f}' cy='{y:.1f}' r='{radius:.1f}' fill='{colour if filled else PAPER}' stroke='{colour}' "
            "stroke-width='1.5'/>"
        )

    def curve(self, points, colour: str = INK, width: float = 1.8) -> None:
        """A line through many points."""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.parts.append(f"<polyline points='{path}' fill='none' stroke='{colour}' stroke-width='{width}'/>")

    def picture(self, x, y, width, height, data: str) -> None:
        """A picture by its data address, its pixels kept sharp."""
        self.parts.append(
            f"<image x='{x:.1f}' y='{y:.1f}' width='{width:.1f}' height='{height:.1f}' href='{data}' "
            "style='image-rendering:pixelated'/>"
        )

    def svg(self) -> str:
        """The picture as text."""
        colours = sorted({part.split("url(#tip-")[1].split(")")[0] for part in self.parts if "url(#tip-" in part})
        tips = "".join(
            f"<marker id='tip-{c}' viewBox='0 0 10 10' refX='9' refY='5' markerWidth='7' markerHeight='7' orient='auto'>"
            f"<path d='M0 0.8 L10 5 L0 9.2 z' fill='#{c}'/></marker>"
            for c in colours
        )
        w, h = self.width, self.height
        return (
            f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {w:.0f} {h:.0f}' width='{w:.0f}' height='{h:.0f}'>"
            f"<defs>{tips}</defs>"
            f"<rect x='0.5' y='0.5' width='{w - 1:.1f}' height='{h - 1:.1f}' rx='10' fill='{PAPER}' stroke='#d8d4c8'/>"
            + "\n".join(self.parts)
            + "</svg>"
        )

    def shown(self, alt: str, width: int | None = None):
        """The picture on a page. Untrusted pages do not show a stored SVG, but do show an image with one in its address.

        Args:
            alt: what is to be seen, for those who cannot see it.
            width: on the screen, in pixels, `SHOWN` times its own if None; never more than the page has.

        Returns:
            IPython.display.HTML
        """
        from IPython.display import HTML

        data = base64.b64encode(self.svg().encode()).decode()
        style = f"width:{width or round(SHOWN * self.width)}px;max-width:100%"
        return HTML(f'<img alt="{html.escape(alt, quote=True)}" style="{style}" src="data:image/svg+xml;base64,{data}">')
