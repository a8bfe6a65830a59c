"""Compare the outputs that a notebook stores with those of a fresh run: text, numbers, pictures, films, widgets.

Nothing escapes by its type: the outputs must agree in number, order and mime types, and a type that is not known here
must be equal. Of a widget a notebook stores only a description, so that is compared; a widget that holds a picture fails,
since its picture cannot be: it belongs into an output of its own.
"""

import base64
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
from PIL import UnidentifiedImageError

from .pictures import picture_difference, picture_used
from .text import text_difference, text_used

WIDGET = "application/vnd.jupyter.widget-view+json"
TEXTS = {"stdout", "stderr", "error", "image/svg+xml", "application/javascript"}  # and text/...
DATA_URI = re.compile(r"data:image/[\w.+-]+;base64,([A-Za-z0-9+/]+(?:\\?\r?\n[A-Za-z0-9+/]+)*={0,2})")
ANSI = re.compile(r"\x1b\[[0-9;]*m")
OVERWRITTEN = re.compile(r"^.*\r(?=[^\n])", re.MULTILINE)  # a progress bar's earlier states
RANDOM_ID = re.compile("[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
NOTHING = re.compile("(?!)")
BYTES = re.compile(r"""b'(?:[^'\\]|\\.)*'|b"(?:[^"\\]|\\.)*\"""")

Clean = Callable[[str], str]


@dataclass
class Comparison:
    """What was compared, and where they differ also why and (stored, fresh) if they are pictures, (H, W, 3) each."""

    where: str
    why: str = ""  # empty where they agree
    pictures: tuple[np.ndarray, np.ndarray] | None = None
    used: float = float("inf")  # which part of its tolerance: 0 equal, 1 just allowed


def compare(stored: list[dict], fresh: list[dict], clean: Clean = str) -> list[Comparison]:
    """All differences between two lists of outputs in nbformat's form; `clean` is applied to every text first."""
    return [comparison for comparison in comparisons(stored, fresh, clean) if comparison.why]


def comparisons(stored: list[dict], fresh: list[dict], clean: Clean = str) -> Iterator[Comparison]:
    """Everything that is compared, whether it agrees or not."""
    old, new = ([parts(output) for output in join_streams(outputs)] for outputs in (stored, fresh))
    if len(old) != len(new):
        yield Comparison("number of outputs", f"{len(old)} stored ({kinds(old)}), {len(new)} now ({kinds(new)})")
        return
    for number, (a, b) in enumerate(zip(old, new), start=1):
        for found in compare_parts(a, b, clean):
            yield replace(found, where=f"output {number}, {found.where}")


def kinds(outputs: list[dict]) -> str:
    """The outputs' types in words."""
    return ", ".join(" + ".join(sorted(output)) for output in outputs) or "none"


def join_streams(outputs: list[dict]) -> Iterator[dict]:
    """Between two other outputs, all that was printed as one text per stream: the kernel splits it anywhere."""
    for is_stream, group in groupby(outputs, key=lambda output: output["output_type"] == "stream"):
        if not is_stream:
            yield from group
            continue
        texts = {"stdout": "", "stderr": ""}
        for output in group:
            texts[output["name"]] += output["text"]
        for name, text in texts.items():
            if text:
                yield {"output_type": "stream", "name": name, "text": OVERWRITTEN.sub("", text)}


def parts(output: dict) -> dict:
    """One output as {mime type: content}; streams and errors under their names. Of an error the traceback is left out."""
    if output["output_type"] == "stream":
        return {output["name"]: output["text"]}
    if output["output_type"] == "error":
        return {"error": ANSI.sub("", f"{output['ename']}: {output['evalue']}")}
    return dict(output["data"])


def compare_parts(stored: dict, fresh: dict, clean: Clean) -> Iterator[Comparison]:
    """The differences between two outputs, type by type."""
    if stored.keys() != fresh.keys():
        yield Comparison("its types", f"{kinds([stored])} was stored, {kinds([fresh])} now")
        return
    for mime in sorted(stored):
        a, b = stored[mime], fresh[mime]
        if WIDGET in stored:
            if mime == "text/plain" and BYTES.search(b):
                yield Comparison(mime, "a widget that holds a picture cannot be compared: display the picture itself")
                continue
            a, b = without_id(a), without_id(b)
        for found in compare_content(mime, a, b, clean):
            yield replace(found, where=f"{mime}{found.where}")


def without_id(content: dict | str) -> dict | str:
    """A widget's view without its random id; its description as it is."""
    return {key: value for key, value in content.items() if key != "model_id"} if isinstance(content, dict) else content


def compare_content(mime: str, stored, fresh, clean: Clean) -> Iterator[Comparison]:
    """Compare two contents of the same type as what they are: text, picture, or something that must be equal."""
    if mime == "application/json":
        stored, fresh = (json.dumps(content, indent=1, sort_keys=True) for content in (stored, fresh))
    if mime in TEXTS or mime.startswith("text/") or mime == "application/json":
        yield from compare_text(mime, clean(stored), clean(fresh))
    elif mime.startswith("image/"):
        yield from compare_pictures("", stored, fresh)
    elif stored != fresh:
        yield Comparison("", f"must be equal: {str(stored)[:60]} was stored, {str(fresh)[:60]} now")


def compare_text(mime: str, stored: str, fresh: str) -> Iterator[Comparison]:
    """Compare two texts, and the pictures and films embedded in them."""
    # matplotlib's films and many other pieces of HTML name their elements by a random id.
    ids = RANDOM_ID if mime == "text/html" else NOTHING
    old, new = (ids.sub("(id)", DATA_URI.sub("(picture)", text)) for text in (stored, fresh))
    if why := text_difference(old, new):
        yield Comparison("", why)
        return
    yield Comparison("", used=text_used(old, new))
    embedded = zip(DATA_URI.findall(stored), DATA_URI.findall(fresh))
    for number, pair in enumerate(embedded, start=1):
        yield from compare_pictures(f", picture {number}", *pair)


def compare_pictures(where: str, stored: str, fresh: str) -> Iterator[Comparison]:
    """Compare two pictures or films in base64. A diagram in SVG is compared as the text that it is."""
    old, new = base64.b64decode(stored), base64.b64decode(fresh)
    if old.startswith(b"<svg") and new.startswith(b"<svg"):
        yield from compare_text("image/svg+xml", old.decode(), new.decode())
        return
    try:
        found = picture_difference(old, new)
    except UnidentifiedImageError:
        if old != new:
            yield Comparison(where, "neither a picture that Pillow reads nor SVG, and not equal")
        return
    if found:
        yield Comparison(where, found.why, (found.stored, found.fresh))
    else:
        yield Comparison(where, used=picture_used(old, new))
