"""Other ways to run the U-Net, for speed: compiled by torch, or by OpenVINO (see `openvino_unet`).

Each is called as diffusers' U-Net is, and gives the same noise to rounding. Only drawing: no gradients, nothing to look into.
"""

from __future__ import annotations

import torch

from .memory import ran_out

RUNTIMES = ("torch", "openvino", "compile")
SHAPES = 16  # of inputs, for which a compiled U-Net is kept


def check_runtime(runtime: str | None) -> None:
    """A ValueError unless it is None or one of `RUNTIMES`."""
    if runtime is not None and not (isinstance(runtime, str) and runtime in RUNTIMES):
        raise ValueError(f"runtime={runtime!r} must be None, which chooses, or one of {', '.join(map(repr, RUNTIMES))}.")


def faster(unet, runtime: str | None):
    """The U-Net, run as `runtime` says; itself for None and "torch"."""
    if runtime == "openvino":
        from .openvino_unet import OpenVinoUNet

        return OpenVinoUNet(unet)
    return CompiledUNet(unet) if runtime == "compile" else unet


def original(unet):
    """diffusers' own U-Net inside of a faster one, or the one given."""
    return unet.original if isinstance(unet, FasterUNet) else unet


class FasterUNet:
    """A U-Net that can only be called; whoever wants to look inside is told how to load one that allows it."""

    def __init__(self, unet, runtime: str):
        self.config, self.device, self.dtype, self.runtime = unet.config, unet.device, unet.dtype, runtime
        self.original = unet

    def __call__(self, sample, timestep, encoder_hidden_states, *, return_dict: bool = True, **others):
        """As `UNet2DConditionModel.forward`.

        Args:
            sample: (n, 4, h, w).
            timestep: a scalar.
            encoder_hidden_states: (n, 77, D).

        Raises:
            ValueError: an input that needs a gradient, or an argument that this runtime does not know.
        """
        from diffusers.models.unets.unet_2d_condition import UNet2DConditionOutput

        if sample.requires_grad or encoder_hidden_states.requires_grad:
            raise ValueError(f"runtime={self.runtime!r} has no gradients: use `load()` without a runtime to steer or to train.")
        unknown = [name for name, value in others.items() if value is not None]
        if unknown:
            raise ValueError(f"runtime={self.runtime!r} does not take {', '.join(unknown)}: use `load()` without a runtime.")
        timestep = torch.as_tensor(timestep, dtype=torch.float32, device=sample.device)
        noise = self._predict(sample, timestep, encoder_hidden_states)
        return UNet2DConditionOutput(sample=noise) if return_dict else (noise,)

    def __getattr__(self, name: str):
        if name.startswith("_"):
            raise AttributeError(name)
        raise AttributeError(
            f"the U-Net runs by runtime={self.runtime!r} and has no {name!r}: use `load()` without a runtime to look inside, to "
            "change it or to train it."
        )

    def __deepcopy__(self, memo):
        return self  # it holds no state that a copy would need of its own


class CompiledUNet(FasterUNet):
    """`torch.compile` with static shapes; on cuda with CUDA graphs. The first call of each shape takes a minute or more."""

    def __init__(self, unet):
        super().__init__(unet, "compile")
        if unet.device.type not in ("cpu", "cuda"):
            raise ValueError(f"runtime='compile' is for cuda and cpu, not for {unet.device.type}; use `load()` without one.")
        torch._dynamo.config.recompile_limit = max(SHAPES, torch._dynamo.config.recompile_limit)  # or it gives up after 8
        self._shapes = set()
        if unet.device.type == "cuda":
            unet = unet.to(memory_format=torch.channels_last)
            self._compiled = torch.compile(unet, mode="max-autotune", fullgraph=True, dynamic=False)
        else:
            self._compiled = torch.compile(unet, dynamic=False, options={"freezing": True})

    @torch.no_grad()
    def _predict(self, sample, timestep, context):
        torch.compiler.cudagraph_mark_step_begin()
        try:
            noise = self._compiled(sample, timestep, encoder_hidden_states=context, return_dict=False)[0]
        except RuntimeError as error:
            if ran_out(error) or sample.shape in self._shapes:
                raise
            raise ValueError(
                f"runtime='compile' could not compile the U-Net for {tuple(sample.shape)}, {type(error).__name__}. It needs a "
                "C++ compiler on a CPU and Triton on a GPU; `load()` without a runtime needs neither."
            ) from error
        self._shapes.add(sample.shape)
        return noise.clone()  # CUDA graphs write every result to the same memory; callers keep theirs
