"""Many start steps, guidance scales and seeds at once: all cells of a grid in batches through the one loop."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

from ..arguments import door, real_number, seed_number, true_or_false, whole_number
from ..components import Components
from ..drawing import batch_limit
from ..loop import check_start_step
from ..pictures import fitted
from ..runtime.memory import in_batches
from ..text import as_prompts
from .batches import Cell, Request, draw, steps_of

if TYPE_CHECKING:
    import os

    from distributed import Client


@dataclass(frozen=True)
class Sweep:
    """The pictures of a sweep, in the order start step, guidance scale, seed; shows itself as a labelled grid."""

    images: list[Image.Image]
    prompt: str
    start_steps: tuple[int, ...]
    guidance_scales: tuple[float, ...]
    seeds: tuple[int, ...]
    num_inference_steps: int

    def image(self, start_step: int, guidance_scale: float | None = None, seed: int | None = None) -> Image.Image:
        """One picture; guidance scale and seed may be left out where there is only one, or mean the first."""
        i = _position("start_step", whole_number("start_step", start_step), self.start_steps, whole_number)
        j = _position("guidance_scale", guidance_scale, self.guidance_scales, real_number)
        k = _position("seed", seed, self.seeds, whole_number)
        return self.images[(i * len(self.guidance_scales) + j) * len(self.seeds) + k]

    def grid(self, width: int = 64):
        """A table for a notebook: a column for each start step, a row for each guidance scale and seed."""
        from ..notebook.views import grid

        rows = [(g, s) for g in self.guidance_scales for s in self.seeds]
        pictures = [self.image(start, g, s) for g, s in rows for start in self.start_steps]
        labels = [f"guidance {g:g}" + (f", seed {s}" if len(self.seeds) > 1 else "") for g, s in rows]
        columns = [f"start {start}" for start in self.start_steps]
        return grid(pictures, labels, columns, width, alt=f"{self.prompt}, by start step")

    def _repr_html_(self) -> str:
        return self.grid().data


@door
def sweep(
    components: Components,
    prompt: str,
    *,
    image: Image.Image,
    start_steps,
    guidance_scales=(7.5,),
    seeds=(0,),
    num_inference_steps: int = 50,
    negative_prompt: str = "",
    progress: bool = True,
    batch_size: int | None = None,
    client: Client | None = None,
    folder: str | os.PathLike | None = None,
) -> Sweep:
    """Draw from a picture with every combination of start step, guidance scale and seed.

    Each picture is the one that `generate(..., image=image, start_step=..., guidance_scale=..., seed=...)` gives alone.

    Args:
        prompt, negative_prompt: one string each.
        image: where to start from, a picture or a path, fitted to the model's size by cropping its middle.
        start_steps: whole numbers from 0 to num_inference_steps.
        guidance_scales: numbers; 1 is off.
        seeds: whole numbers.
        batch_size: how many pictures to draw at a time; None takes 16, or fewer if they are large or there are many workers.
        client: a `dask.distributed.Client`: its workers, which have this package installed, draw the batches. Each loads the
            model once; a model edited by hand is sent to them. In a notebook the grid fills as pictures come.
        folder: where each picture is kept as soon as it is drawn. The same call draws only what is not there yet.

    Raises:
        ValueError: an argument out of its range, of a wrong type or empty; a folder that holds another sweep; a model edited
            by hand that is too large to be sent. The message names what was wrong.
        MemoryError: not even one picture fits; a batch that does not is drawn in halves.
        OSError: a picture could not be kept, such as when the disk is full; those before it are.
    """
    from tqdm.auto import tqdm

    num_inference_steps = whole_number("num_inference_steps", num_inference_steps, 1)
    if client is not None:
        from .cluster import check_client, draw_on

        check_client(client)
    start_steps, guidance_scales, seeds = _checked(start_steps, guidance_scales, seeds, num_inference_steps)
    prompt, negative_prompt = _one_string(prompt, "prompt"), _one_string(negative_prompt, "negative_prompt")
    height, width = components.default_size
    request = Request(prompt, negative_prompt, fitted(image, height, width), num_inference_steps)
    cells = [Cell(start, scale, seed) for start in start_steps for scale in guidance_scales for seed in seeds]
    pictures = {}

    def result(change=lambda picture: picture):
        blank = Image.new("RGB", request.image.size, "lightgrey")  # for those still to come
        images = [change(pictures.get(cell, blank)) for cell in cells]
        return Sweep(images, prompt, start_steps, guidance_scales, seeds, num_inference_steps)

    if folder is not None:
        from .keeping import SweepFolder

        folder = SweepFolder(folder, components, request)
        pictures = folder.read(cells)
    shown = None
    left = [cell for cell in sorted(set(cells)) if cell not in pictures]
    batch_size = _batch_size(batch_size, height, width, left, client)
    progress = true_or_false("progress", progress)
    with tqdm(total=steps_of(cells, request), disable=not progress, desc="sweep", leave=False) as bar:
        bar.update(bar.total - steps_of(left, request))
        if client is None:
            drawn = in_batches(left, batch_size, lambda batch: draw(components, request, batch, bar.update))
        else:
            from ..notebook.views import live, thumbnail

            shown = live() if progress else None
            drawn = draw_on(client, components, request, left, batch_size, lambda batch: bar.update(steps_of(batch, request)))
        with contextlib.closing(drawn):  # workers must not go on when a picture could not be kept
            for batch, images in drawn:
                new = dict(zip(batch, images))
                if folder is not None:
                    folder.keep(new)
                pictures |= new
                if shown is not None:
                    shown.update(lambda: result(thumbnail))
    if shown is not None:
        shown.clear()  # the sweep that is returned shows itself
    return result()


def _batch_size(batch_size: int | None, height: int, width: int, cells: list[Cell], client) -> int:
    """How many cells to draw at a time; with a client few enough that every worker gets about four batches."""
    if batch_size is not None:
        return whole_number("batch_size", batch_size, 1)
    most = batch_limit(height, width, 16)
    return most if client is None else min(most, max(1, len(cells) // (4 * max(1, len(client.nthreads())))))


def _checked(start_steps, guidance_scales, seeds, num_inference_steps: int):
    """The three axes of the grid as tuples, or a ValueError that names the one that cannot be."""
    axes = dict(start_steps=start_steps, guidance_scales=guidance_scales, seeds=seeds)
    for name, values in axes.items():
        try:
            axes[name] = tuple(values)
        except TypeError:
            raise ValueError(f"{name}={values!r} must be a list, such as [{values!r}].") from None
        if not axes[name]:
            raise ValueError(f"{name} is empty: give at least one.")
    return (
        tuple(check_start_step(start, num_inference_steps) for start in axes["start_steps"]),
        tuple(real_number("guidance_scales", scale) for scale in axes["guidance_scales"]),
        tuple(seed_number("seeds", seed) for seed in axes["seeds"]),
    )


def _one_string(text, argument: str) -> str:
    """The text, or a ValueError unless it is one string."""
    if not isinstance(text, str):
        raise ValueError(f"{argument}={text!r} must be one string; call `sweep` once for each prompt.")
    return as_prompts(text, argument)[0]


def _position(argument: str, value, values: tuple, number) -> int:
    """Where a value lies among those of an axis; the first for None. `number` is what checks its kind."""
    value = values[0] if value is None else number(argument, value)
    if value not in values:
        raise ValueError(f"{argument}={value!r} is not in this sweep; it has {', '.join(map(str, values))}.")
    return values.index(value)
