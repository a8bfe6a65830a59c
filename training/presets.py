"""Every size and length of training, for two machines: a small CPU and one large GPU."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """One training run: how many optimizer steps of how many pictures, and its learning rate."""

    steps: int
    batch: int
    lr: float
    warmup: int = 100
    stop: int | None = None  # end at this step, before the learning rate has fallen all the way

    @property
    def end(self) -> int:
        return self.stop or self.steps


@dataclass(frozen=True)
class Preset:
    size: int  # pixels a side
    vae_channels: tuple[int, ...]  # one level more than the halvings of the picture
    concepts: tuple[str, ...]  # files that list the concepts CLIP and the denoiser learn; none: all of them
    autoencoder: Stage | None  # None: the packaged one
    growing: Stage | None  # of the outermost level, around an autoencoder trained at half the size; None: all levels at once
    clip: Stage | None  # None: the packaged one
    denoiser: Stage
    reading: Stage
    variants: int  # shifted copies of each icon and background whose latents are cached
    scenes: int  # of each shape, square and wide, that are drawn and encoded once
    precision: str  # accelerate's mixed_precision
    duration: str  # what `make train` announces
    further: bool = False  # go on from the packaged weights; what they do not know yet is drawn twice as often

    @property
    def suffix(self) -> str:
        """Ends the names of checkpoint folders, so that going on does not take the first run's for its own."""
        return "-further" if self.further else ""

    @property
    def factor(self) -> int:
        return 2 ** (len(self.vae_channels) - 1)


PRESETS = {
    "cpu": Preset(
        size=128, vae_channels=(24, 32, 64, 96), concepts=("concepts_cpu.txt",),
        autoencoder=Stage(steps=6000, batch=12, lr=1.5e-3),
        growing=Stage(steps=2000, batch=8, lr=1.5e-3),
        clip=Stage(steps=2600, batch=128, lr=1e-3),
        denoiser=Stage(steps=15000, batch=32, lr=1e-3, warmup=200),
        reading=Stage(steps=1000, batch=128, lr=7e-4),
        variants=4, scenes=8000, precision="bf16",
        duration="about three hours on two cores with AMX, several times that on older ones",
    ),
    "further": Preset(
        size=128, vae_channels=(24, 32, 64, 96), concepts=("concepts_cpu.txt", "concepts_further.txt"), further=True,
        autoencoder=None, growing=None,
        clip=None,
        denoiser=Stage(steps=24000, batch=16, lr=1e-4, warmup=200),
        reading=Stage(steps=1000, batch=144, lr=7e-4),
        variants=2, scenes=8000, precision="bf16",
        duration="three hours on two cores",
    ),
    "gpu": Preset(
        size=128, vae_channels=(24, 32, 64, 96), concepts=(),
        autoencoder=None, growing=None,
        clip=Stage(steps=4000, batch=512, lr=1e-3),
        reading=Stage(steps=2000, batch=512, lr=7e-4),
        denoiser=Stage(steps=20000, batch=256, lr=1e-3, warmup=500),
        variants=4, scenes=24000, precision="bf16",
        duration="about twenty minutes on an H100 (not yet measured)",
    ),
}  # fmt: skip
