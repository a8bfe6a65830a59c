"""The pages of the book that are no notebooks."""

from __future__ import annotations

import json
import re
from pathlib import Path

from pages import drawing

PARTS = {"The machine": range(0, 8), "Taking hold of it": range(8, 15), "From nothing": range(15, 100)}


def front_page(notebooks: list[Path]) -> str:
    """What the book is, the engine, and all notebooks."""
    lines = [
        "# Stable Diffusion, taken apart",
        "",
        "Draw pictures from words, then take the machine that drew them to pieces. Each page is a notebook, with what it showed",
        "when it last ran; some let you draw right in the page, on your own device.",
        "",
        drawing('prompt="a fox on a blue background" controls="prompt seed guidance" show="film"', "../"),
        "",
    ]
    for part, numbers in PARTS.items():
        names = [path for path in notebooks if int(path.name[:2]) in numbers]
        if names:
            lines += [f"## {part}", "", *(f"- [{title(path)}](notebooks/{path.name})" for path in names), ""]
            tree = [f"notebooks/{path.stem}" for path in names]
            lines += ["```{toctree}", ":hidden:", f":caption: {part}", "", *tree, "```", ""]
    lines += ["```{toctree}", ":hidden:", ":caption: To look up", "", "docs/glossary", "api", "```", ""]
    return "\n".join(lines)


def title(path: Path) -> str:
    first = "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"])
    return re.match(r"# (.+)", first).group(1)


def api_page() -> str:
    """Every public name of the package, from its docstring, room by room."""
    import sd_helpers

    lines = ["# The package", "", "What the notebooks build by hand and then import.", ""]
    for module, names in public_names(sd_helpers).items():
        lines += [f"## {module}", "", "```{eval-rst}"]
        lines += [f".. auto{'class' if isinstance(member, type) else 'function'}:: {module}.{name}" for name, member in names]
        lines += ["```", ""]
    return "\n".join(lines)


def public_names(package) -> dict[str, list]:
    """Module -> its public names, in the order of the alphabet."""
    found = {}
    for name in package.__all__:
        member = getattr(package, name)
        if callable(member):
            found.setdefault(member.__module__, []).append((name, member))
    return dict(sorted(found.items()))
