"""How many threads torch computes with on a CPU: one for a single picture, all for a large batch.

A thread that has done its share waits for the others by spinning, on a core that another program may need. A picture of the
embedded model is so small that a second thread gains little, and costs three to five times as soon as anything else runs; a
batch of sixteen gains. `benchmarks/README.md` has the table. Whoever sets `OMP_NUM_THREADS`, or calls `torch.set_num_threads`,
is obeyed; what was called before this package was imported is the most that it takes.
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass

import torch

MANY = 2**17  # pixels in a call, all rows together, from which all threads work: eight rows of 128 x 128, or one of 512 x 512
BY_HAND = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")

_most = torch.get_num_threads()  # before anything here has changed it
use = torch.set_num_threads  # as long as nobody has set another
_set_by_hand = False


@functools.wraps(use)
def _noted(number: int) -> None:
    """torch's own, and a note that the person has called it: nothing else tells a 1 of theirs from a 1 of ours."""
    global _set_by_hand
    use(number)
    _set_by_hand = True


torch.set_num_threads = _noted


def most() -> int:
    """How many threads a batch gets."""
    return _most if _ours() else torch.get_num_threads()


def choose(pixels: int) -> None:
    """Set torch's threads for a call on so many pixels, unless the person has set them."""
    number = _most if pixels >= MANY else 1
    if _ours() and number != torch.get_num_threads():
        use(number)


@dataclass(frozen=True)
class Chooser:
    """A forward pre-hook: chooses before every call of a network on the CPU, by the pixels in it.

    Args:
        pixels: of a picture for each place of the network's input, (n, channels, h, w); 0 for one that is always small.
    """

    pixels: int

    def __call__(self, network, args, kwargs) -> None:
        given = [value for value in (*args, *kwargs.values()) if torch.is_tensor(value)]
        if given and given[0].device.type == "cpu":
            choose(len(given[0]) * given[0].shape[2:].numel() * self.pixels)


def suit(network: torch.nn.Module, pixels: int) -> None:
    """Let a network choose the threads for each of its calls; see `Chooser`."""
    network.register_forward_pre_hook(Chooser(pixels), with_kwargs=True)


def told() -> str:
    """How many threads and why, a line for `describe()`."""
    if not _ours():
        return f"threads: {torch.get_num_threads()} (set by you)"
    if _most == 1:
        return "threads: 1 (there is one core)"
    return f"threads: 1 for a picture, {_most} for a large batch (OMP_NUM_THREADS sets another number for all)"


def _ours() -> bool:
    """Whether the person has left the number to us."""
    return not _set_by_hand and not any(name in os.environ for name in BY_HAND)
