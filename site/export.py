"""Exports the embedded model for the browser, into site/dist/models: `python site/export.py`."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from building.half import stored_in_half
from building.networks import NETWORKS, blocks_of, latent_shape, to_onnx
from building.packing import packed_into
from building.preview import fitted_preview
from building.words import merges_of, rows_of

from sd_helpers import load
from sd_helpers.gallery import BACKGROUNDS, STYLES, icons
from sd_helpers.models import EMBEDDED, EMBEDDED_FOLDER

DIST = Path(__file__).parent / "dist"
FORMAT = 1  # of the manifest; site/src/files.js refuses another


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=EMBEDDED, help="any that `load` takes, of emoji-sd's architecture and size")
    parser.add_argument("--into", type=Path, default=DIST / "models")
    arguments = parser.parse_args()
    components = load(arguments.model, device="cpu", runtime="torch")
    manifest = describe(components) | {"files": export(components, arguments.into)}
    (arguments.into / "manifest.json").write_text(json.dumps(manifest, indent=1))
    total = sum(file["bytes"] for file in manifest["files"].values())
    print(f"{total / 1e6:.1f} MB in all, in {arguments.into}")


def export(components, folder: Path) -> dict:
    """Write all files; returns their entries in the manifest."""
    files = {}

    def add(key: str, name: str, content: bytes, told: str = "") -> None:
        files[key] = packed_into(folder, name, content)
        print(f"{key:13} {files[key]['bytes'] / 1e6:6.2f} MB {time.monotonic() - began:5.1f} s {told}", flush=True)

    began = time.monotonic()
    rows, known = rows_of(components.text_encoder)
    add("merges", "merges.txt", merges_of(components.tokenizer))
    add("rows", "rows.bin", rows, f"{known} tokens of {len(components.tokenizer)} were trained")
    matrix, away = fitted_preview(components)
    add("preview", "preview.bin", matrix, f"{away:.1f} levels from the decoder")
    for key, network in NETWORKS.items():
        add(key, f"{key}.onnx", stored_in_half(to_onnx(network(components))))
    return files


def describe(components) -> dict:
    """What the engine has to know about the model."""
    schedule = components.scheduler.config
    text, height, width = components.text_encoder.config, *components.default_size
    return {
        "format": FORMAT,
        "model": components.name,
        "latents": latent_shape(components),
        "picture": [3, height, width],
        "positions": text.max_position_embeddings,
        "width": text.hidden_size,
        "scaling_factor": components.vae.config.scaling_factor,
        "levels": list(blocks_of(components.unet)),
        "schedule": {
            key: schedule[key] for key in ("beta_start", "beta_end", "beta_schedule", "num_train_timesteps", "prediction_type")
        },
        "words": {"things": things(), "styles": list(STYLES), "backgrounds": list(BACKGROUNDS)},
    }


def things() -> list[str]:
    """What emoji-sd was shown, as prompts name it."""
    labels = {icon.concept: icon.label for icon in icons()}
    return [labels[concept] for concept in json.loads((EMBEDDED_FOLDER / "concepts.json").read_text())]


if __name__ == "__main__":
    main()
