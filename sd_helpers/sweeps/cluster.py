"""A sweep on many machines: batches to the workers of a dask cluster, pictures back as they are done."""

from __future__ import annotations

import copy
import ctypes
import functools
import pickle
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import torch

from ..components import Components, load
from ..runtime.devices import pick_device
from ..runtime.memory import in_batches
from ..runtime.runtimes import original
from .batches import draw
from .signature import alike, signature

if TYPE_CHECKING:
    from distributed import Client
    from PIL import Image

    from .batches import Cell, Request

RETRIES = 3
DIED = (
    "most likely for want of memory. Pass a smaller batch_size, or give each worker more memory. With folder=, the same call "
    "goes on where this one stopped."
)
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

    A batch whose worker dies is drawn by another. Closing the generator cancels what is not drawn yet.

    Args:
        on_batch: called with each batch that is done.

    Raises:
        ValueError: the model differs from what a worker loads by its name, and is too large to be sent, or cannot be.
        RuntimeError: workers died over one batch again and again.
    """
    from distributed import KilledWorker, as_completed

    left = [cells[first : first + batch_size] for first in range(0, len(cells), batch_size)]
    model = Named(components.name, components.dtype, _answers(components, request))
    lost = 0
    while left:
        futures = {client.submit(draw_there, model, components.scheduler, request, b, pure=False): b for b in left}
        try:
            for future, drawn in as_completed(futures, with_results=True):
                if isinstance(drawn, str):  # why the worker does not have this model
                    model = _sent(client, components, drawn)
                    break
                if isinstance(drawn, BaseException):  # all workers that held the model that was sent have died
                    lost += 1
                    if lost > RETRIES:
                        raise RuntimeError(f"the cluster lost its work {lost} times ({drawn!r}): {DIED}") from drawn
                    client.wait_for_workers(1, timeout=60)
                    model = model if isinstance(model, Named) else _sent(client, components, "sent before")
                    break
                left.remove(futures[future])
                on_batch(futures[future])
                yield futures[future], drawn
        except KilledWorker as error:
            raise RuntimeError(f"workers died several times over the same batch: {DIED}") from error
        finally:
            client.cancel(list(futures))


class Named(NamedTuple):
    """A model that workers load themselves, and what it should answer."""

    name: str
    dtype: torch.dtype
    answers: tuple[float, ...]


def _answers(components: Components, request: Request) -> tuple[float, ...]:
    return tuple(signature(components, [request.negative_prompt, request.prompt], request.image))


def _sent(client: Client, components: Components, refusal: str):
    """The model itself, sent to all workers; a ValueError if it is too large for that, or holds what cannot travel."""
    parts = dict(vae=components.vae, text_encoder=components.text_encoder, unet=original(components.unet))
    size = sum(p.nbytes for module in parts.values() for p in module.parameters())
    if size > LARGEST:
        raise ValueError(
            f"these components are not what workers load as {components.name!r} ({refusal}), and {size / 1e9:.1f} GB are too "
            "much to send. Save them with `components.save(folder)` where all workers can read it, and sweep with `load(folder)`."
        )
    try:
        # A worker may have no GPU, or another kind.
        parts = {name: copy.deepcopy(m).to("cpu") if m.device.type != "cpu" else m for name, m in parts.items()}
        return client.scatter(replace(components, **parts), broadcast=True, hash=False)
    except (TypeError, AttributeError, pickle.PicklingError) as error:
        raise ValueError(
            f"these components are not what workers load as {components.name!r} ({refusal}), and cannot be sent: {error}. "
            "Take off the hooks that hold such things, or pass client=None to draw here."
        ) from error


def draw_there(model, scheduler, request: Request, cells: list[Cell]) -> list[Image.Image] | str:
    """On a worker: draw one batch, or say why the model of this name is not the one that is meant."""
    with _one_at_a_time:
        if isinstance(model, Named):
            try:
                if not answers_as(model, scheduler, request):
                    return "a worker's gives other answers: it is of another version, or this one was edited by hand"
                components = loaded(model.name, model.dtype)
            except Exception as error:
                return f"{type(error).__name__}: {error}"
        else:
            keep_freed_memory()
            components = replace(model, device=pick_device(None))
            for module in (components.vae, components.text_encoder, components.unet):
                module.to(components.device)
        components = replace(components, scheduler=scheduler)
        drawn = in_batches(cells, len(cells), lambda batch: draw(components, request, batch))
        return [picture for _, pictures in drawn for picture in pictures]


@functools.lru_cache(maxsize=1)
def loaded(name: str, dtype) -> Components:
    """On a worker: the model, loaded once."""
    keep_freed_memory()
    return load(name, dtype=dtype)


_answered: dict[Named, bool] = {}


def answers_as(model: Named, scheduler, request: Request) -> bool:
    """On a worker: whether the model of this name gives the answers that it should; asked once for each sweep.

    If it does not, its folder may have changed since it was loaded: it is loaded anew and asked again.
    """
    if model not in _answered:
        _answered.clear()
        held = loaded.cache_info().currsize
        right = _loaded_answers(model, scheduler, request)
        if held and not right:
            loaded.cache_clear()
            right = _loaded_answers(model, scheduler, request)
        _answered[model] = right
    return _answered[model]


def _loaded_answers(model: Named, scheduler, request: Request) -> bool:
    components = replace(loaded(model.name, model.dtype), scheduler=scheduler)
    return alike(model.answers, _answers(components, request), model.dtype)


def keep_freed_memory() -> None:
    """Undo dask's setting that freed memory goes back to the system at once: drawing on a CPU took half as long again."""
    trim_threshold, mmap_threshold = -1, -3  # of malloc.h in glibc
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            libc.mallopt(trim_threshold, 2**30)
            libc.mallopt(mmap_threshold, 2**25)  # the largest that it takes
