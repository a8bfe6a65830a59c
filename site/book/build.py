"""Builds the book into site/dist/book, every notebook a page with what it last showed: `python site/book/build.py`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from contents import api_page, front_page
from pages import page_of

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SOURCE = HERE / "source"  # made anew each time
INTO = HERE.parent / "dist" / "book"
MATHJAX = HERE.parent / "node_modules" / "mathjax" / "es5" / "tex-svg.js"  # has its glyphs within it


def main() -> None:
    if not MATHJAX.exists():
        raise SystemExit(f"{MATHJAX} is not there: run `npm ci` in site/ first.")
    shutil.rmtree(SOURCE, ignore_errors=True)
    notebooks = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
    for path in notebooks:
        write(f"notebooks/{path.name}", page_of(path, address=os.environ.get("SITE_REPOSITORY", "")))
        copy(path, f"_static/notebooks/{path.name}")
    for path in (ROOT / "notebooks" / "solutions").glob("*.ipynb"):
        copy(path, f"_static/notebooks/solutions/{path.name}")
    write("index.md", front_page(notebooks))
    write("api.md", api_page())
    copy(ROOT / "docs" / "glossary.md", "docs/glossary.md")
    for path in (ROOT / "notebooks" / "images").glob("*"):
        copy(path, f"notebooks/images/{path.name}")
    copy(HERE / "conf.py", "conf.py")
    for name in ("book.css", "icon.svg"):
        copy(HERE / name, f"_static/{name}")
    copy(MATHJAX, "_static/mathjax.js")
    trees = str(SOURCE / "_trees")
    subprocess.run([sys.executable, "-m", "sphinx", "-q", "-b", "html", "-d", trees, str(SOURCE), str(INTO)], check=True)
    for left in (INTO.parent / "jupyter_execute", INTO / "_sources"):
        shutil.rmtree(left, ignore_errors=True)


def write(name: str, text: str) -> None:
    path = SOURCE / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def copy(path: Path, name: str) -> None:
    (SOURCE / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, SOURCE / name)


if __name__ == "__main__":
    main()
