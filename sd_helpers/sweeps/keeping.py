"""A folder in which the pictures of a sweep are kept as they come, so that an interrupted one goes on where it stopped."""

from __future__ import annotations

import hashlib
import io
import json
import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from ..components import Components
from .signature import alike, signature

if TYPE_CHECKING:
    from .batches import Cell, Request


class SweepFolder:
    """One PNG for each cell, and sweep.json, which says what they are pictures of.

    Raises:
        ValueError: the folder holds pictures of another sweep, or is a file.
        OSError: it cannot be written.
    """

    def __init__(self, folder: str | os.PathLike, components: Components, request: Request):
        self.folder, self.size = Path(folder), request.image.size
        if self.folder.exists() and not self.folder.is_dir():
            raise ValueError(f"folder={str(folder)!r} is a file: give a folder, or a name that is free.")
        self.folder.mkdir(parents=True, exist_ok=True)
        wanted = {
            "prompt": request.prompt,
            "negative_prompt": request.negative_prompt,
            "num_inference_steps": request.num_inference_steps,
            "image": hashlib.sha256(request.image.tobytes()).hexdigest(),
            "size": list(self.size),
            "scheduler": _settings(components.scheduler),
            "dtype": str(components.dtype),
        }
        answers = signature(components, [request.negative_prompt, request.prompt], request.image)
        label = self.folder / "sweep.json"
        if not label.exists():
            if stray := next(self.folder.glob("start*-guidance*-seed*.png"), None):
                raise ValueError(
                    f"folder={str(folder)!r} holds {stray.name} but no sweep.json that says of which sweep: take another folder."
                )
            _write(label, json.dumps(wanted | {"model": components.name, "answers": answers}, indent=1).encode())
            return
        try:
            held = json.loads(label.read_text(encoding="utf-8"))
            other = [name for name in wanted if held[name] != wanted[name]]
            # The answers depend on the rest too, so they tell of the model only where the rest agrees.
            other = other or ([] if alike(held["answers"], answers, components.dtype) else ["model"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"folder={str(folder)!r}: its sweep.json cannot be read ({error!r}); take another folder."
            ) from error
        if other:
            raise ValueError(
                f"folder={str(folder)!r} holds a sweep with another {' and another '.join(other)}: take another folder, or "
                "delete this one to draw its pictures anew."
            )

    def path(self, cell: Cell) -> Path:
        """Where the picture of a cell lies."""
        return self.folder / f"start{cell.start_step}-guidance{cell.guidance_scale!r}-seed{cell.seed}.png"

    def read(self, cells: list[Cell]) -> dict[Cell, Image.Image]:
        """The pictures that are there; one that cannot be read counts as missing."""
        found = {}
        for cell in cells:
            try:
                with Image.open(self.path(cell)) as picture:
                    found[cell] = picture.convert("RGB")
            except PermissionError:
                raise
            except (OSError, SyntaxError):  # not there, cut short; what Pillow says of a broken PNG is a SyntaxError
                continue
            if found[cell].size != self.size:
                del found[cell]
        return found

    def keep(self, pictures: dict[Cell, Image.Image]) -> None:
        """Write each picture whole or not at all."""
        for cell, picture in pictures.items():
            png = io.BytesIO()
            picture.save(png, "PNG")
            _write(self.path(cell), png.getvalue())


def _settings(scheduler) -> dict:
    """Class and configuration of a scheduler, as JSON gives them back."""
    config = {name: value for name, value in scheduler.config.items() if not name.startswith("_")}
    return json.loads(json.dumps({"class": type(scheduler).__name__, **config}, default=str))


def _write(path: Path, data: bytes) -> None:
    """Write beside the file and then rename, so that no half-written file ever has its name."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        try:
            with open(temporary, "xb") as file:  # readable for whom the user's umask lets read, unlike tempfile's
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OSError(
            error.errno,
            f"{path.name} could not be written ({error.strerror}). What was written before is whole: make room, or choose "
            "a folder elsewhere, and make the same call again; it draws only what is missing",
            str(path.parent),
        ) from error
