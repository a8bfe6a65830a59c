"""The U-Net by OpenVINO: the same noise to rounding in about half of torch's time, on a CPU, where nothing looks inside.

The loop asks `for_drawing`. torch's U-Net stays the one that everybody can look into, call by hand and change.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tempfile
import threading
import warnings
from pathlib import Path

import torch

from . import threads
from .runtimes import FasterUNet
from .unchanged import as_loaded, state_of

KEPT = 16  # networks compiled in this process, for sizes and weights
KEPT_ON_DISK = 8
CACHE = "SD_HELPERS_CACHE"  # an environment variable: the folder for converted networks

_compiled: dict[tuple, tuple] = {}
_one_at_a_time = threading.Lock()


def for_drawing(unet):
    """OpenVINO's form of a U-Net that is as `load` gave it out; any other as it is: edited, watched, with LoRA, on a GPU."""
    if not isinstance(unet, torch.nn.Module) or not as_loaded or unet.device.type != "cpu" or unet.dtype != torch.float32:
        return unet
    state = state_of(unet)
    return OpenVinoUNet(unet, state) if state in as_loaded else unet


class OpenVinoUNet(FasterUNet):
    """OpenVINO on the CPU: weights packed for this machine's instructions.

    For a size of pictures two networks are compiled, half a second and 80 MB each: one for a single guided picture, with a
    thread for each of its two rows, and one for any number of rows. Those are shared out among as many streams as there are
    cores, of which none waits for another before the end. Where there is one thread, the second does for all. What has been
    converted from torch, which takes two seconds, is kept on the disk.
    """

    def __init__(self, unet, state: str | None = None):
        """
        Args:
            state: of a network for which OpenVINO was chosen unasked; should it fail, torch goes on. None: it was asked for.
        """
        super().__init__(unet, "openvino")
        if importlib.util.find_spec("openvino") is None:
            raise ValueError("runtime='openvino' needs OpenVINO, which is not installed: pip install openvino.")
        if unet.device.type != "cpu" or unet.dtype != torch.float32:
            raise ValueError(
                f"runtime='openvino' is for the CPU in float32, not for {unet.device.type} in {unet.dtype}: leave out "
                "device= and dtype=."
            )
        self.unasked, self.state = state is not None, state or state_of(unet)

    def __call__(self, sample, timestep, encoder_hidden_states, **others):
        """As `FasterUNet`; what was not asked for must not refuse either."""
        if self.unasked and (sample.requires_grad or encoder_hidden_states.requires_grad or set(others) - {"return_dict"}):
            return self.original(sample, timestep, encoder_hidden_states, **others)
        return super().__call__(sample, timestep, encoder_hidden_states, **others)

    def _predict(self, sample, timestep, context):
        try:
            with _one_at_a_time:
                return _answered(self._requests(sample, timestep, context), sample, timestep, context)
        except RuntimeError:  # such as on processors without AVX2, for some shapes only when it is called
            if not self.unasked:
                raise
            noise = self.original(sample, timestep, context, return_dict=False)[0]  # raises, too, where the inputs are at fault
            as_loaded.discard(self.state)  # and not again
            return noise

    def _requests(self, sample, timestep, context) -> list:
        """What runs inputs of this shape, one for each stream."""
        rows = 2 if len(sample) == 2 and threads.most() > 1 else -1
        key = (self.state, tuple(sample.shape[1:]), tuple(context.shape[1:]), rows, threads.most())
        if key not in _compiled:
            while len(_compiled) >= KEPT:
                _compiled.pop(next(iter(_compiled)))  # each holds the weights packed for it
            _compiled[key] = self._compile(rows, sample, timestep, context)
        return _compiled[key]

    def _compile(self, rows: int, sample, timestep, context) -> list:
        """Compile for 2 rows, or for any number with -1."""
        openvino = _openvino()
        core, single = openvino.Core(), rows > 0
        network = self._network(core, sample, timestep, context)
        network.reshape({i: openvino.PartialShape([rows, *given.shape[1:]]) for i, given in ((0, sample), (2, context))})
        settings = {
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": min(2, threads.most()) if single else threads.most(),
            "NUM_STREAMS": 1 if single else threads.most(),
            "ENABLE_CPU_PINNING": False,  # or two processes would both take the first core
        }
        compiled = core.compile_model(network, "CPU", settings)
        return [compiled.create_infer_request() for _ in range(settings["NUM_STREAMS"])]

    def _network(self, core, sample, timestep, context):
        """The network as OpenVINO's graph for this size of pictures: from the disk, or converted and kept there."""
        openvino = _openvino()
        size = "x".join(map(str, (*sample.shape[1:], *context.shape[1:])))
        folder = cache_folder() / f"{self.state}-{size}-{openvino.__version__.split('-')[0]}"
        if (folder / "unet.xml").exists():
            try:
                return core.read_model(folder / "unet.xml")
            except RuntimeError:
                shutil.rmtree(folder, ignore_errors=True)  # damaged: it is made anew
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the tracer, on branches that depend on shapes, which are fixed here
            shapes = [(-1, *sample.shape[1:]), (), (-1, *context.shape[1:])]
            inputs = (sample[:2], timestep, context[:2])
            network = openvino.convert_model(Positional(self.original), example_input=inputs, input=shapes)
        if self.state in as_loaded:
            _keep(network, folder)
        return network


def _openvino():
    """The library without its telemetry: its converter would report every use to Google Analytics, and ask nobody."""
    sys.modules.setdefault("openvino_telemetry", None)  # counts as not installed; the library has a stub for that
    import openvino

    return openvino


def _answered(requests: list, sample, timestep, context) -> torch.Tensor:
    """What the requests answer, each for its share of the rows."""
    shares = [len(share) for share in torch.arange(len(sample)).tensor_split(len(requests)) if len(share)]
    begun = list(zip(requests, sample.split(shares), context.split(shares)))
    for request in requests:
        request.wait()  # one whose answer nobody waited for, because of an interrupt, may still be at work
    for request, rows, texts in begun:
        request.start_async([rows.contiguous().numpy(), timestep.numpy(), texts.contiguous().numpy()])
    answers = []
    for request, _, _ in begun:
        request.wait()
        answers.append(torch.from_numpy(request.get_output_tensor().data))
    return torch.cat(answers)  # a copy: the next call writes to the same memory


def cache_folder() -> Path:
    """Where converted networks are kept: SD_HELPERS_CACHE, or this user's folder for such things."""
    import platformdirs

    return Path(os.environ.get(CACHE) or platformdirs.user_cache_path("sd-helpers"))


def _keep(network, folder: Path) -> None:
    """Write a network to the disk, whole or not at all, and drop the oldest; on a disk that cannot be written, do without."""
    openvino = _openvino()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix="new-") as new:
            openvino.save_model(network, Path(new) / "unet.xml", compress_to_fp16=False)
            os.replace(new, folder)
            os.mkdir(new)  # for TemporaryDirectory to remove
        for old in sorted(folder.parent.glob("????????-*x*"), key=lambda path: path.stat().st_mtime)[:-KEPT_ON_DISK]:
            shutil.rmtree(old, ignore_errors=True)
    except (OSError, RuntimeError):
        pass


class Positional(torch.nn.Module):
    """A U-Net that takes and gives tensors only, as tracing needs it."""

    def __init__(self, unet):
        super().__init__()
        self.unet = unet

    def forward(self, sample, timestep, context):
        """(n, 4, h, w), (), (n, 77, D) to (n, 4, h, w)."""
        return self.unet(sample, timestep, context, return_dict=False)[0]
