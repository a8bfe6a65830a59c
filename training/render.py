"""Emoji icons as pictures: fetch the npm packages, render every icon once, keep them as one lossless WebP sheet."""

import base64
import json
import re
import subprocess
import tarfile
import unicodedata
from io import BytesIO
from pathlib import Path

from PIL import Image

PACKAGES = {
    "noto": "@iconify-json/noto@1.2.9",
    "twemoji": "@iconify-json/twemoji@1.2.5",
    "flat": "@iconify-json/fluent-emoji-flat@1.2.6",
    "glossy": "@iconify-json/fluent-emoji@1.2.7",
}
LABELS = "emojibase-data@17.0.0"
ICON_SIZE = 128
COLUMNS = 72
# Emojibase groups that are no pictures of things: components (skin tones, hair), symbols, flags.
SKIPPED_GROUPS = {2, 8, 9}


def slug(label: str) -> str:
    """The icon name that Iconify makes of a label: "piñata" -> "pinata", "cat face" -> "cat-face"."""
    plain = unicodedata.normalize("NFKD", label).encode("ascii", "ignore").decode().lower()
    return re.sub("[^a-z0-9]+", "-", re.sub("['’.]", "", plain)).strip("-")


def fetch(package: str, folder: Path) -> Path:
    """Unpack an npm package, named with its version, below `folder`; returns where it lies."""
    target = folder / slug(package)
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(["npm", "pack", package, "--silent"], cwd=folder, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"npm pack {package} failed; training needs npm and a network:\n{done.stderr}")
        with tarfile.open(folder / done.stdout.strip().splitlines()[-1]) as archive:
            archive.extractall(target, filter="data")
    return target / "package"


def concepts(folder: Path) -> dict[str, dict]:
    """Emojibase's entries by slug, without flags, symbols and components."""
    entries = json.loads((fetch(LABELS, folder) / "en/data.json").read_text())
    return {slug(e["label"]): e for e in entries if e.get("group") is not None and e["group"] not in SKIPPED_GROUPS}


def render_icon(icon: dict, width: int, height: int) -> Image.Image:
    """One Iconify icon as an RGBA picture of ICON_SIZE."""
    import resvg_py

    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
        f' viewBox="0 0 {width} {height}" width="{ICON_SIZE}" height="{ICON_SIZE}">{icon["body"]}</svg>'
    )
    png = resvg_py.svg_to_bytes(svg_string=svg)
    png = base64.b64decode(png) if isinstance(png, str) else bytes(png)
    return Image.open(BytesIO(png)).convert("RGBA")


def render(folder: Path) -> tuple[Path, Path]:
    """Render all icons into `folder`/icons.webp, row by row, with icons.json naming each; skips what is there."""
    sheet_path, names_path = folder / "icons.webp", folder / "icons.json"
    if sheet_path.exists() and names_path.exists():
        return sheet_path, names_path
    known = concepts(folder / "npm")
    pictures, names = [], []
    for style, package in PACKAGES.items():
        pack = json.loads((fetch(package, folder / "npm") / "icons.json").read_text())
        found = sorted(set(pack["icons"]) & set(known))
        print(f"render: {len(found)} icons of {package}", flush=True)
        for name in found:
            icon = pack["icons"][name]
            width = icon.get("width", pack.get("width", 16))
            pictures.append(render_icon(icon, width, icon.get("height", pack.get("height", 16))))
            entry = known[name]
            names.append(
                {
                    "concept": name,
                    "style": style,
                    "label": entry["label"].replace("’", "'"),
                    "tags": entry.get("tags", []),
                    "group": entry["group"],
                }
            )
    rows = -(-len(pictures) // COLUMNS)
    sheet = Image.new("RGBA", (COLUMNS * ICON_SIZE, rows * ICON_SIZE))
    for i, picture in enumerate(pictures):
        sheet.paste(picture, (i % COLUMNS * ICON_SIZE, i // COLUMNS * ICON_SIZE))
    print(f"render: saving {len(pictures)} icons as one lossless WebP", flush=True)
    sheet.save(sheet_path, lossless=True, method=4)
    names_path.write_text(json.dumps(names, ensure_ascii=False))
    return sheet_path, names_path


def train(preset, work: Path, device: str) -> None:
    """The stage as `python -m training` calls it."""
    render(work)
