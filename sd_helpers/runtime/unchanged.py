"""Whether a U-Net is still what `load` gave out: then OpenVINO may draw in its place (`openvino_unet`)."""

from __future__ import annotations

import importlib.util
import zlib

import torch

from . import threads

LARGEST = 400e6  # bytes of weights, up to which a network is drawn with by OpenVINO unasked: it holds them a second time
PLAIN = (bool, int, float, str, tuple, type(None))

as_loaded: set[str] = set()  # states of the networks that may be


def remember(unet) -> bool:
    """Draw with this network by OpenVINO from now on, for as long as it stays what it is; False where that cannot be."""
    fits = unet.device.type == "cpu" and unet.dtype == torch.float32 and sum(p.nbytes for p in unet.parameters()) <= LARGEST
    if not fits or importlib.util.find_spec("openvino") is None:
        return False
    as_loaded.add(state_of(unet))
    return True


def only_torch(unet) -> None:
    """Never draw with this network by OpenVINO."""
    unet.drawn_by = "torch"  # part of its state, and copied with it


def state_of(unet) -> str:
    """Everything that a network's answer depends on, as a short text: its modules, what is set in them, hooks and all numbers."""
    checksum = 0
    for name, module in unet.named_modules():
        hooks = [*module._forward_hooks.values(), *module._forward_pre_hooks.values()]
        settings = [
            (key, value if isinstance(value, PLAIN) else type(value).__qualname__)
            for key, value in vars(module).items()
            if not key.startswith("_")
        ]
        others = [repr(hook) for hook in hooks if not isinstance(hook, threads.Chooser)]
        code = f"{type(module).__qualname__}, {type(module).forward.__module__}.{type(module).forward.__qualname__}"
        checksum = zlib.crc32(repr((name, code, settings, others)).encode(), checksum)
    for name, numbers in (*unet.named_parameters(), *unet.named_buffers()):
        checksum = zlib.crc32(f"{name} {tuple(numbers.shape)}".encode(), checksum)
        checksum = zlib.crc32(numbers.detach().contiguous().flatten().view(torch.uint8).numpy(), checksum)
    return f"{checksum:08x}"
