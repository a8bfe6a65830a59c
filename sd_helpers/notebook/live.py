"""The machine, live: pick a part and a step of a run, and see what passes there."""

from __future__ import annotations

from functools import lru_cache

import torch
from PIL import Image

from ..arguments import whole_number
from ..autoencoder import latents_to_pil
from ..drawing import starting_noise
from ..loop import denoise
from ..text import embed_prompt
from . import diagrams
from .views import grid
from .widgets import explore

MAPS = 6  # channels of a level that are shown


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

    steps = whole_number("num_inference_steps", num_inference_steps, 2, 100)
    run = lru_cache(maxsize=8)(lambda words, seed: _Run(components, words, seed, steps, guidance_scale))
    levels = [f"U-Net, {name}" for name in _blocks(components.unet)]
    parts = ["prompt", "text encoder", "latents", *levels, "guidance", "scheduler", "decoder"]

    def passing(prompt, seed, step, part):
        recorded = run(prompt, seed)
        shown, numbers = recorded.at(part, step - 1)
        return diagrams.here(components, part.split(",")[0]), shown, numbers

    explore(
        passing,
        prompt=w.Text(prompt),
        seed=w.IntSlider(0, 0, 99),
        step=w.IntSlider(steps // 2, 1, steps),
        part=w.Dropdown(options=parts, value="latents"),
    )


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
        step, vae = self.steps[index], self.components.vae
        told = f"step {index + 1} of {len(self.steps)}, sigma {step.sigma:.2f}"
        if part == "prompt":
            return self._words(), f"{told}; the words are the same at every step"
        if part == "text encoder":
            rows = self.embeds[0].float().cpu()  # (77, D)
            picture = _grey(rows / rows.abs().max())
            label = f"{rows.shape[0]} vectors of {rows.shape[1]} numbers"
            return grid([picture], ["one row each"], [label], 512), f"{told}; the vectors are the same at every step"
        if part == "latents":
            seen = self._seen(step)
            pictures = [*(_grey(channel / 3) for channel in seen[0].float().cpu()), *latents_to_pil(seen, vae)]
            names = [*(f"channel {i}" for i in range(seen.shape[1])), "decoded"]
            return grid(
                pictures, ["latents"], names, 112
            ), f"{told}; spread {step.latents.std():.2f}, as the U-Net sees it {seen.std():.2f}"
        if part.startswith("U-Net"):
            maps = self._maps(step, part.split(", ")[1])[0].float().cpu()  # (C, h, w)
            wide = maps.abs().amax(dim=(1, 2), keepdim=True).clamp(min=1e-6)
            names = [f"map {i}" for i in range(MAPS)]
            return grid([_grey(m) for m in (maps / wide)[:MAPS]], [part], names, 96), f"{told}; {part} gives {tuple(maps.shape)}"
        if part == "guidance":
            without, with_prompt = self._ask(step, self.empty), self._ask(step, self.embeds)
            apart = (with_prompt - without).square().mean().sqrt()
            shown = [without, with_prompt, step.noise_pred]
            pictures = [_grey(noise[0, 0].float().cpu() / 3) for noise in shown]
            pictures.append(_grey((with_prompt - without)[0, 0].float().cpu() / (4 * apart)))
            names = ["without", "with prompt", f"guided x {self.scale:g}", "difference, stronger"]
            return grid(pictures, ["noise"], names, 112), f"{told}; the two predictions are {apart:.3f} apart"
        if part == "scheduler":
            after = self.steps[index + 1].latents if index + 1 < len(self.steps) else self.latents
            moved = (after - step.latents).std()
            pictures = latents_to_pil(torch.cat([self._seen(step), step.pred_original_sample]), vae)
            return grid(
                pictures, [""], ["before the step", "x0 that it aims at"], 128
            ), f"{told}; this step moves the latents by {moved:.2f}"
        pictures = latents_to_pil(torch.cat([step.pred_original_sample, self.latents]), vae)
        return grid(pictures, [""], ["x0 of this step", "the picture, at the end"], 128), told

    def _seen(self, step):
        """Latents as the U-Net sees them, of unit size: (1, 4, h, w)."""
        return step.latents / (step.signal * (step.sigma**2 + 1) ** 0.5)

    def _ask(self, step, embeds):
        return self.components.unet(self._seen(step), step.timestep, encoder_hidden_states=embeds).sample

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

    def _words(self):
        return diagrams.words(self.prompt, self.components.tokenizer, self.components.text_encoder)


def _blocks(unet) -> dict:
    down = {f"down {i}": block for i, block in enumerate(unet.down_blocks)}
    return down | {"middle": unet.mid_block} | {f"up {i}": block for i, block in enumerate(unet.up_blocks)}


def _grey(values) -> Image.Image:
    """Numbers from -1 to 1 as a grey picture."""
    return Image.fromarray(((values + 1) * 127.5).clamp(0, 255).round().byte().numpy())
