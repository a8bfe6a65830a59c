"""Puts the page together, in site/dist: page, scripts, runtime, beside the models of `export.py`: `python site/assemble.py`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from building.packing import copied_into, packed_into

SITE = Path(__file__).parent
DIST = SITE / "dist"
RUNTIME = SITE / "node_modules" / "onnxruntime-web" / "dist"


def main() -> None:
    models = DIST / "models"
    if not (models / "manifest.json").exists():
        raise SystemExit(f"{models} has no manifest: run `python site/export.py` first.")
    if not RUNTIME.exists():
        raise SystemExit(f"{RUNTIME} is not there: run `npm ci` in site/ first.")
    manifest = json.loads((models / "manifest.json").read_text())
    manifest["files"] |= runtime(models)
    (models / "manifest.json").write_text(json.dumps(manifest, indent=1))
    shutil.rmtree(DIST / "src", ignore_errors=True)
    shutil.copytree(SITE / "src", DIST / "src")
    for name in ("index.html", "page.css"):
        shutil.copy(SITE / name, DIST / name)
    for name in ("NOTICE", "LICENSE"):
        shutil.copy(SITE.parent / name, DIST / f"{name}.txt")
    total = sum(path.stat().st_size for path in DIST.rglob("*") if path.is_file())
    print(f"{DIST}: {total / 1e6:.1f} MB")


def runtime(folder: Path) -> dict:
    """onnxruntime's script, which a browser imports, and its WASM, which the page unpacks."""
    script = (RUNTIME / "ort.wasm.bundle.min.mjs").read_bytes()
    script = script.partition(b"\n//# sourceMappingURL")[0] + b"\n"  # the map does not travel
    wasm = (RUNTIME / "ort-wasm-simd-threaded.wasm").read_bytes()
    return {"runtime": copied_into(folder, "ort.mjs", script), "wasm": packed_into(folder, "ort.wasm", wasm)}


if __name__ == "__main__":
    main()
