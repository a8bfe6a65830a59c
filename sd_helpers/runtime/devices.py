"""Where to compute and in which precision, and why."""

from __future__ import annotations

import torch

from .. import models


def pick_device(device):
    """The device asked for, checked; for None a GPU if there is one. A ValueError if it cannot be used."""
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        chosen = torch.device(device)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"device={device!r} cannot be used on this machine; leave it out, or use 'cpu'.") from error
    return chosen


def checked_dtype(dtype):
    """The dtype, or a ValueError unless it is None or one of torch's floating-point types."""
    if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise ValueError(f"dtype={dtype!r} must be torch.float32, torch.float16 or torch.bfloat16.")
    return dtype


def reasons_for(wanted: dict, device, dtype, runtime: str | None, drawn_by_openvino: bool) -> tuple[str, ...]:
    """For each choice a line with why it was made."""
    found = {"cuda": "a CUDA GPU was found", "mps": "Apple's GPU was found", "cpu": "no GPU was found"}
    half = "half the memory, and GPUs are fastest in it"
    if runtime == "openvino":
        found["cpu"] = "OpenVINO runs on it"
    full = "exact, and small enough" if device.type == "cuda" else "this device computes it best"
    why = {
        "device": "asked for" if wanted["device"] is not None else found.get(device.type, "found"),
        "dtype": "asked for" if wanted["dtype"] is not None else half if dtype.itemsize == 2 else full,
        "runtime": "the default: everything can be looked into and changed",
    }
    if drawn_by_openvino:
        why["runtime"] = "OpenVINO where only drawn with, and nothing was changed: half the time"
    elif runtime:
        why["runtime"] = "asked for" if runtime == "torch" else "asked for; only for drawing"
    chosen = {"device": str(device), "dtype": str(dtype).removeprefix("torch."), "runtime": runtime or "torch"}
    return tuple(f"{name}: {chosen[name]} ({why[name]})" for name in chosen)


def pick_dtype(device, name: str):
    """Half precision where it saves memory that matters: on cuda, for anything larger than the embedded model."""
    return torch.float16 if device.type == "cuda" and name != models.EMBEDDED else torch.float32
