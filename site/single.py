"""The page as one file that works from a stick, site/dist/emoji-sd.html: `python site/single.py`, after `assemble.py`."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

SITE = Path(__file__).parent
DIST = SITE / "dist"
IMPORT = re.compile(r'(?:from|import) "\./([\w.]+)"')
ELSEWHERE = re.compile(r'<p class="elsewhere">.*?</p>', re.DOTALL)  # links to what is not in the file


def main() -> None:
    if not (DIST / "index.html").exists():
        raise SystemExit(f"{DIST} has no page: run `python site/assemble.py` first.")
    page = (DIST / "index.html").read_text()
    style = f"<style>{(DIST / 'page.css').read_text()}</style>"
    page = replaced(page, '<link rel="stylesheet" href="page.css" />', style)
    page = replaced(page, '<script type="module" src="src/element.js"></script>', "")
    page = ELSEWHERE.sub("", page)
    boot = f'<script type="module">{(SITE / "single" / "boot.js").read_text()}</script>'
    page = replaced(page, "</body>", "".join([*held(), boot, "</body>"]))
    into = DIST / "emoji-sd.html"
    into.write_text(page)
    print(f"{into}: {into.stat().st_size / 1e6:.1f} MB")


def replaced(page: str, old: str, new: str) -> str:
    if page.count(old) != 1:
        raise ValueError(f"index.html must hold {old!r} once.")
    return page.replace(old, new)


def held():
    """Everything else, as script elements that a browser does not run."""
    manifest = json.loads((DIST / "models" / "manifest.json").read_text())
    yield element("modules", json.dumps(modules()).replace("</", "<\\/"))  # or a </script> in a text would end it
    yield element("manifest", json.dumps(manifest))
    yield element("notice", (DIST / "NOTICE.txt").read_text())
    yield element("style", (DIST / "src" / "element.css").read_text())
    for key, file in manifest["files"].items():
        yield element(f"file-{key}", base64.b64encode((DIST / "models" / file["name"]).read_bytes()).decode())


def element(name: str, text: str) -> str:
    return f'<script type="text/plain" id="{name}">{text}</script>\n'


def modules() -> dict[str, str]:
    """Name -> text of all modules, each after those that it imports."""
    texts = {path.name: path.read_text() for path in sorted((DIST / "src").glob("*.js"))}
    ordered: dict[str, str] = {}

    def add(name: str) -> None:
        for other in IMPORT.findall(texts[name]):
            if other not in ordered:
                add(other)
        ordered[name] = texts[name]

    for name in texts:
        if name not in ordered:
            add(name)
    return ordered


if __name__ == "__main__":
    main()
