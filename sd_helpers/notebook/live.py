"""The machine, live: pick a part and a step of a run, and see what passes there."""

from __future__ import annotations

from functools import lru_cache

import torch
from PIL import Image

from ..arguments import door, one_text, whole_number
from ..autoencoder import latents_to_pil
from ..drawing import starting_noise
from ..loop import denoise
from ..metrics import mean_difference
from ..runtime.runtimes import original
from ..text import embed_prompt
from . import diagrams
from .views import grid
from .widgets import explore

MAPS = 6  # channels of a level that are shown
LIT = {"prompt": ("prompt", "tokenizer"), "decoder": ("decoder", "picture")}  # on the map, where it is not the part's own name


@door
def explore_machine(
    components, prompt: str = "a fox on a blue background", num_inference_steps: int = 20, guidance_scale: float = 5.0
) -> None:
    """Controls over one run: which part, which step, which prompt and seed; what passes there as pictures and numbers.

    Args:
        prompt: to begin with.
        num_inference_steps: of the run, 2 to 100.
        guidance_scale: of the run.
    """
    import ipywidgets as w

    prompt = one_text("prompt", prompt)
    steps = whole_number("num_inference_steps", num_inference_steps, 2, 100)
    run = lru_cache(maxsize=8)(lambda words, seed: _Run(components, words, seed, steps, guidance_scale))

    def passing(prompt, seed, step, part):
        shown, numbers = run(prompt, seed).at(part, step - 1)
        return diagrams.here(components, *LIT.get(part, [part.split(",")[0]])), shown, numbers

    explore(
        passing,
        prompt=w.Text(prompt),
        seed=w.IntSlider(0, 0, 99),
        step=w.IntSlider(steps // 2, 1, steps),
        part=w.Dropdown(options=_parts(components), value="latents"),
    )


def _parts(components) -> list[str]:
    """What can be looked at, in the order in which it is passed."""
    levels = [f"U-Net, {name}" for name in _blocks(components.unet)]
    return ["prompt", "text encoder", "latents", *levels, "guidance", "scheduler", "decoder"]


class _Run:
    """A run of the loop with everything kept that a reader may ask for."""

    def __init__(self, components, prompt: str, seed: int, num_inference_steps: int, guidance_scale: float):
        self.components, self.prompt, self.scale = components, prompt, guidance_scale
        self.embeds, self.empty = (embed_prompt(p, components.tokenizer, components.text_encoder) for p in (prompt, ""))
        self.steps = []
        start = starting_noise(components, seed) * components.scheduler.init_noise_sigma
        settings = dict(guidance_scale=guidance_scale, num_inference_steps=num_inference_steps, on_noise=self.steps.append)
        for step in denoise(components.unet, components.scheduler, start, self.embeds, negative_embeds=self.empty, **settings):
            self.latents = step.latents

    @torch.no_grad()
    def at(self, part: str, index: int):
        """Pictures and numbers of one part at one step."""
        step = self.steps[index]
        told = f"step {index + 1} of {len(self.steps)}, sigma {step.sigma:.2f}"
        if part == "prompt":
            shown = diagrams.words(self.prompt, self.components.tokenizer, self.components.text_encoder)
            return shown, f"{told}; the words are the same at every step"
        name, _, level = part.partition(", ")
        ways = {
            "text encoder": self._vectors, "latents": self._channels, "guidance": self._two_predictions,
            "scheduler": self._one_step, "decoder": self._decoded,
        }  # fmt: skip
        pictures, labels, width, numbers = self._level(step, level) if name == "U-Net" else ways[name](step, index)
        shown = grid(pictures, [""], labels, width, alt=f"{part} at step {index + 1}: {', '.join(labels)}")
        return shown, f"{told}; {numbers}"

    def _vectors(self, step, index):
        rows = self.embeds[0].float().cpu()  # (77, D)
        label = f"{rows.shape[0]} vectors, one a row, of {rows.shape[1]} numbers"
        return [_grey(rows / rows.abs().max())], [label], 512, "the vectors are the same at every step"

    def _channels(self, step, index):
        seen = self._seen(step)
        pictures = [*(_grey(channel / 3) for channel in seen[0].float().cpu()), *latents_to_pil(seen, self.components.vae)]
        names = [*(f"channel {i}" for i in range(seen.shape[1])), "decoded"]
        numbers = f"standard deviation {step.latents.std():.2f}, of what the U-Net is given {seen.std():.2f}"
        return pictures, names, 112, numbers

    def _level(self, step, level: str):
        maps = self._maps(step, level)[0].float().cpu()  # (C, h, w)
        largest = maps.abs().amax(dim=(1, 2), keepdim=True).clamp(min=1e-6)
        names = [f"map {i}" for i in range(min(MAPS, len(maps)))]
        pictures = [_grey(one) for one in (maps / largest)[:MAPS]]
        return pictures, names, 112, f"{level} gives {tuple(maps.shape)}; each map is grey at 0, white or black at its largest"

    def _two_predictions(self, step, index):
        without, with_prompt = self._ask(step, self.empty), self._ask(step, self.embeds)
        apart = (with_prompt - without).square().mean().sqrt().clamp(min=1e-6)
        pictures = [_grey(noise[0, 0].float().cpu() / 3) for noise in (without, with_prompt, step.noise_pred)]
        pictures.append(_grey((with_prompt - without)[0, 0].float().cpu() / (4 * apart.cpu())))
        names = ["without prompt", "with prompt", f"guided, scale {self.scale:g}", "difference, enlarged"]
        numbers = f"noise predictions, channel 0; the first two are {apart:.3f} apart (root mean square)"
        return pictures, names, 128, numbers

    def _one_step(self, step, index):
        last = index + 1 == len(self.steps)
        after = self.latents if last else self.steps[index + 1].latents
        reached = self.latents if last else self._seen(self.steps[index + 1])
        pictures = latents_to_pil(torch.cat([self._seen(step), step.pred_original_sample, reached]), self.components.vae)
        numbers = f"this step moves the latents by {(after - step.latents).std():.2f} (standard deviation)"
        return pictures, ["before the step", "x0 that it aims at", "after the step"], 144, numbers

    def _decoded(self, step, index):
        pictures = latents_to_pil(torch.cat([step.pred_original_sample, self.latents]), self.components.vae)
        numbers = f"x0 is {mean_difference(*pictures):.1f} levels of 255 from the picture"
        return pictures, ["x0 of this step", "the picture, at the end"], 192, numbers

    def _seen(self, step):
        """Latents as the U-Net sees them, of unit size: (1, 4, h, w)."""
        return step.latents / (step.signal * (step.sigma**2 + 1) ** 0.5)

    def _ask(self, step, embeds):
        return original(self.components.unet)(self._seen(step), step.timestep, encoder_hidden_states=embeds).sample

    def _maps(self, step, name: str):
        """What a block of the U-Net gives out at a step: (1, C, h, w)."""
        kept = []
        hook = _blocks(self.components.unet)[name].register_forward_hook(
            lambda module, given, out: kept.append(out[0] if isinstance(out, tuple) else out)
        )
        try:
            self._ask(step, self.embeds)
        finally:
            hook.remove()
        return kept[0]


def _blocks(unet) -> dict:
    unet = original(unet)
    down = {f"down {i}": block for i, block in enumerate(unet.down_blocks)}
    return down | {"middle": unet.mid_block} | {f"up {i}": block for i, block in enumerate(unet.up_blocks)}


def _grey(values) -> Image.Image:
    """Numbers from -1 to 1 as a grey picture."""
    return Image.fromarray(((values + 1) * 127.5).clamp(0, 255).round().byte().numpy())
