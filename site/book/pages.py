"""A notebook as a page: outputs as they are stored, pictures with their texts, controls that the engine can answer, solutions."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

WIDGET = "application/vnd.jupyter.widget-view+json"
# A link that a reader may follow, the page itself asks nothing of it; the branch `colab` holds what site/colab.py writes.
COLAB = "https://colab.research.google.com/github"
SOLUTIONS = re.compile(r"\[([^\]]*)\]\(solutions/([\w.]+)\)")  # a link to the notebook of solutions, which is no page
CHECKED = re.compile(r"check\.(exercise_\d+)\(")  # what ends an exercise's cell, in the lesson and in its solution

# What an explorer's code holds -> attributes of the <emoji-sd> that stands in for it.
ENGINE = {
    "explore_machine(": 'controls="prompt seed" show="film parts"',
    "FileUpload(": 'controls="prompt image seed guidance steps" show="film"',
    "explore(scrub": 'controls="prompt negative seed steps guidance" show="film"',
    "explore(draw, **controls)": 'controls="prompt seed guidance" show="film"',
    "drawn_by_you,": 'controls="prompt seed steps guidance" show="film"',
}


def page_of(path: Path, address: str = "") -> str:
    """A notebook, changed for the book, as the text of a notebook.

    Args:
        address: owner/name of the published repository; "" leaves the link to Colab out.
    """
    notebook = json.loads(path.read_text(encoding="utf-8"))
    answers = solutions(path.parent / "solutions" / path.name)
    cells = []
    for cell in notebook["cells"]:
        cells += shown(cell)
        cells += [markdown(folded("A solution", f"```python\n{answers[name]}\n```")) for name in checked(cell) if name in answers]
    cells.insert(1, markdown(links(path, address)))
    cells = [{"id": f"book-{i}"} | cell for i, cell in enumerate(cells)]  # nbformat wants one of every cell
    notebook["metadata"].pop("widgets", None)
    return json.dumps(notebook | {"cells": cells}, ensure_ascii=False)


def shown(cell: dict) -> list[dict]:
    """A cell as the book shows it, and what stands behind it."""
    if cell["cell_type"] != "code":
        link = r'<a href="../_static/notebooks/solutions/\2" download>\1</a>'
        return [cell | {"source": SOLUTIONS.sub(link, "".join(cell["source"]))}]
    source, engine = "".join(cell["source"]), None
    outputs = []
    for output in cell["outputs"]:
        if WIDGET in output.get("data", {}):
            engine = engine or in_place_of(source, "".join(output["data"].get("text/plain", "")))
        else:
            outputs.append(with_text(output))
    if engine:
        return [cell | {"outputs": []}, markdown(engine)]
    tags = cell["metadata"].get("tags", [])
    if "reveal" in tags:  # the prediction comes first
        tags = [*tags, "hide-output"]
    return [cell | {"outputs": outputs, "metadata": cell["metadata"] | {"tags": tags}}]


def in_place_of(source: str, widget: str) -> str | None:
    """The <emoji-sd> that answers as an explorer does, or None: then the stored picture stands for it."""
    attributes = next((value for held, value in ENGINE.items() if held in source), None)
    if attributes is None:
        return None
    words = re.search(r"Text\(value='([^']+)'", widget)
    prompt = html.escape(words.group(1) if words else "a fox on a blue background", quote=True)
    seed = re.search(r"seed=\w*\.?IntSlider\((?:value=)?(\d+)", source)
    return drawing(f'prompt="{prompt}" seed="{seed.group(1) if seed else 0}" {attributes}', "../../")


def drawing(attributes: str, root: str) -> str:
    """An <emoji-sd> as a block of markdown; `root` leads from the page to the site."""
    script = f'<script type="module" src="{root}src/element.js"></script>'
    return f"<div>\n<emoji-sd wait {attributes}></emoji-sd>\n{script}\n</div>"


def with_text(output: dict) -> dict:
    """An output whose picture carries its alternative text, which Sphinx would drop."""
    for kind in ("image/png", "image/jpeg"):
        if kind in output.get("data", {}):
            told = output["metadata"].get(kind, {}).get("alt", "The picture that this cell shows")
            data = "".join(output["data"][kind]).replace("\n", "")
            picture = f'<img alt="{html.escape(told, quote=True)}" src="data:{kind};base64,{data}">'
            return output | {"data": {"text/html": picture, "text/plain": told}, "metadata": {}}
    return output


def solutions(path: Path) -> dict[str, str]:
    """Exercise -> the code that solves it."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"] if path.exists() else []
    return {name: "".join(cell["source"]) for cell in cells for name in checked(cell)}


def checked(cell: dict) -> list[str]:
    """The exercise that a cell of code ends with, or none."""
    return CHECKED.findall("".join(cell["source"])) if cell["cell_type"] == "code" else []


def links(path: Path, address: str) -> str:
    colab = f" · [Open in Colab]({COLAB}/{address}/blob/colab/{path.name})" if address else ""
    return f'<a href="../_static/notebooks/{path.name}" download>Download this notebook</a>{colab}'


def folded(summary: str, text: str) -> str:
    """Text behind a click."""
    return f"<details><summary>{summary}</summary>\n\n{text}\n\n</details>"


def markdown(text: str) -> dict:
    return {"cell_type": "markdown", "metadata": {}, "source": text}
