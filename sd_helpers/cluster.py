"""A sweep on many machines: batches to the workers of a dask cluster, pictures back as they are done."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from .batches import draw
from .components import Components, load
from .memory import in_batches
from .runtimes import original
from .signature import alike, signature

if TYPE_CHECKING:
    from distributed import Client
    from PIL import Image

    from .batches import Cell, Request

LARGEST = 2**30  # bytes of a model edited by hand that are sent to workers; more would stall a scheduler for minutes
_one_at_a_time = threading.Lock()  # a worker with several threads must not draw in each: a drawing uses all cores itself


def check_client(client) -> None:
    """A ValueError unless it is a client of a dask cluster that this call can wait for."""
    try:
        from distributed import Client
    except ImportError as error:
        raise ValueError("client= needs dask's distributed: pip install 'sd-helpers[cluster]'.") from error
    if not isinstance(client, Client) or client.asynchronous:
        raise ValueError(f"client={client!r} must be a dask.distributed.Client, not an asynchronous one; None draws here.")
    if not client.nthreads():
        raise ValueError(f"client={client!r} has no workers: start some, or pass client=None to draw in this process.")


def draw_on(
    client: Client, components: Components, request: Request, cells: list[Cell], batch_size: int, on_batch: Callable
) -> Iterator[tuple[list[Cell], list[Image.Image]]]:
    """Yield batches and their pictures in the order in which workers finish them.

    A batch whose worker dies is drawn by another. Whoever stops listening cancels what is not drawn yet.

    Args:
        on_batch: called with each batch that is done.

    Raises:
        ValueError: the model differs from what they load by its name and is too large to be sent.
        RuntimeError: workers died over one batch again and again.
    """
    from distributed import KilledWorker, as_completed

    if not cells:
        return
    model = _for_workers(client, components, request)
    batches = [cells[first : first + batch_size] for first in range(0, len(cells), batch_size)]
    futures = {client.submit(draw_there, model, request, batch, pure=False): batch for batch in batches}
    try:
        for future, pictures in as_completed(futures, with_results=True):
            on_batch(futures[future])
            yield futures[future], pictures
    except KilledWorker as error:
        raise RuntimeError(
            "workers died several times over the same batch, most likely for want of memory. Pass a smaller batch_size, or "
            "give each worker more memory. With folder=, the same call goes on where this one stopped."
        ) from error
    finally:
        client.cancel(list(futures))


def _for_workers(client: Client, components: Components, request: Request):
    """What workers need to have the model: its name, if that gives them the same one, else the model itself."""
    asked = [request.negative_prompt, request.prompt], request.image
    named = components.name, components.dtype, signature(components, *asked)
    answers = client.run(knows, named, *asked, on_error="return")
    refused = {worker: answer for worker, answer in answers.items() if answer is not True}
    if not refused:
        return named
    components = replace(components, unet=original(components.unet))
    size = sum(p.nbytes for m in (components.vae, components.text_encoder, components.unet) for p in m.parameters())
    if size > LARGEST:
        worker, answer = next(iter(refused.items()))
        raise ValueError(
            f"these components are not what workers load as {components.name!r} ({worker}: {answer}), and {size / 1e9:.1f} GB "
            "are too much to send. Save them with `components.save(folder)` where all workers can read it, and sweep with "
            "`load(folder)`."
        )
    return client.scatter(components, broadcast=True, hash=False)


def knows(named, prompts, image):
    """On a worker: True if the model it loads by this name gives the same answers, else why not."""
    name, dtype, answers = named
    try:
        with _one_at_a_time:
            same = alike(answers, signature(loaded(name, dtype), prompts, image), dtype)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return same or "it gives other answers: a different version, or edited by hand"


@functools.lru_cache(maxsize=1)
def loaded(name: str, dtype) -> Components:
    """On a worker: the model, loaded once."""
    return load(name, dtype=dtype)


def draw_there(model, request: Request, cells: list[Cell]) -> list[Image.Image]:
    """On a worker: draw one batch with the model of a name, or with the one that was sent."""
    with _one_at_a_time:
        components = model if isinstance(model, Components) else loaded(*model[:2])
        drawn = in_batches(cells, len(cells), lambda batch: draw(components, request, batch))
        return [picture for _, pictures in drawn for picture in pictures]
