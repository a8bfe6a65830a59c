"""python -m sd_helpers "a puppy on a blue background" -o puppy.png --seed 32: draw from the shell."""

import argparse
import sys
import warnings
from pathlib import Path


def main(arguments: list[str] | None = None) -> int:
    """Draw what the command line asks for; returns the exit status."""
    for stream in (sys.stdout, sys.stderr):  # a prompt may hold what the terminal's code page has no letters for
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    options = _parser().parse_args(arguments)
    warnings.showwarning = lambda message, *rest: print(f"Note: {message}", file=sys.stderr)
    from . import generate, load, unknown_words
    from .notebook.views import contact_sheet

    try:
        output = _free_path(options.output, options.overwrite)
        components = load(options.model)
        unknown = unknown_words(options.prompt, components.tokenizer, components.text_encoder)
        if unknown:
            print(f"Note: {components.name} has never seen: {', '.join(unknown)}", file=sys.stderr)
        pictures = generate(
            components,
            options.prompt,
            negative_prompt=options.negative_prompt,
            num_inference_steps=options.steps,
            guidance_scale=options.guidance_scale,
            seed=options.seed,
            num_images=options.num_images,
        )
        contact_sheet(pictures).save(output)
    except (ValueError, OSError) as error:
        print(f"sd_helpers: {error}", file=sys.stderr)
        return 2
    print(output)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sd_helpers", description="Draw a prompt.")
    parser.add_argument("prompt")
    parser.add_argument("-o", "--output", type=Path, default=Path("picture.png"), help="file to write (picture.png)")
    parser.add_argument("--model", help="'emoji-sd', a hub id or a folder; default: SD_MODEL, else emoji-sd")
    parser.add_argument("--negative-prompt", default="", help="what to lead away from")
    parser.add_argument("--steps", type=int, default=50, help="denoising steps (50)")
    parser.add_argument("--guidance-scale", type=float, default=7.5, help="how strongly to follow the prompt (7.5)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed draws the same picture (0)")
    parser.add_argument("--num-images", type=int, default=1, help="how many, side by side; picture i uses seed + i (1)")
    parser.add_argument("--overwrite", action="store_true", help="replace the output file if it exists")
    return parser


def _free_path(path: Path, overwrite: bool) -> Path:
    """The path to write to, refused when that would lose a file or cannot work."""
    if path.exists() and not overwrite:
        raise ValueError(f"{path} exists already; choose another name, or add --overwrite.")
    if not path.parent.is_dir():
        raise ValueError(f"there is no folder {path.parent} to write {path.name} into; make it first.")
    from PIL import Image

    if Image.registered_extensions().get(path.suffix.lower()) not in Image.SAVE:
        raise ValueError(f"{path.name!r} does not end like a picture; use .png.")
    return path


if __name__ == "__main__":
    sys.exit(main())
