"""When memory runs out: the same work in smaller batches, and a sentence where one picture alone is too large."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

# How torch says it: on cuda and mps, on Windows, on Linux and macOS, and by cuBLAS and cuDNN.
OUT_OF_MEMORY = ("out of memory", "not enough memory", "can't allocate memory", "STATUS_ALLOC_FAILED")


def in_batches(rows: list, batch_size: int, draw: Callable[[list], list]) -> Iterator[tuple[list, list]]:
    """Yield each batch of rows with what `draw` makes of it; a batch that does not fit into memory is halved.

    Raises:
        MemoryError: not even one row fits.
    """
    while rows:
        batch = rows[:batch_size]
        try:
            drawn = draw(batch)
        except RuntimeError as error:
            if not ran_out(error):
                raise
            if len(batch) == 1:
                raise MemoryError(
                    "one picture alone needs more memory than is free. Close other notebooks that hold a model, draw it smaller "
                    "(height=, width=), or load the model in half the memory: load(..., dtype=torch.float16) on a GPU, "
                    "torch.bfloat16 on a CPU."
                ) from error
            drawn = None  # what the failed attempt holds is only free after this block
        if drawn is None:
            batch_size = len(batch) // 2
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            continue
        yield batch, drawn
        rows = rows[len(batch) :]


def ran_out(error: RuntimeError) -> bool:
    """Whether torch could not get the memory that it asked for, on any device."""
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in OUT_OF_MEMORY)
