"""Latents that join the loop at different steps, so that a whole grid of start steps is one batch."""

from __future__ import annotations

import copy

import torch

from .drawing import begin_index
from .schedulers import add_noise, set_timesteps


class Together:
    """A scheduler for latents that join the loop at different steps: each start step has a scheduler of its own.

    Solvers remember earlier slopes, and a latent that has just joined has none; so the memories must be apart. Latents
    that have not joined yet pass unchanged.
    """

    def __init__(self, scheduler, start_steps: list[int], num_inference_steps: int):
        self.schedulers = {start: copy.deepcopy(scheduler) for start in sorted(set(start_steps))}
        self.first = self.schedulers[min(start_steps)]
        self.set_timesteps(num_inference_steps)
        self.begin = {start: begin_index(self.first, start, num_inference_steps) for start in self.schedulers}
        self.begins = [self.begin[start] for start in start_steps]
        self.rows = {start: [i for i, s in enumerate(start_steps) if s == start] for start in self.schedulers}
        self.index = 0

    config = property(lambda self: self.first.config)
    order = property(lambda self: self.first.order)
    timesteps = property(lambda self: self.first.timesteps)
    sigmas = property(lambda self: self.first.sigmas)  # an AttributeError, as `hasattr` wants it, where there are none
    alphas_cumprod = property(lambda self: self.first.alphas_cumprod)
    init_noise_sigma = property(lambda self: self.first.init_noise_sigma)

    def set_timesteps(self, num_inference_steps: int) -> None:
        """Choose the timesteps of every scheduler."""
        for scheduler in self.schedulers.values():
            set_timesteps(scheduler, num_inference_steps)

    def set_begin_index(self, begin_index: int) -> None:
        """Where the loop begins; each scheduler begins at its own step."""
        self.index = begin_index
        for start, scheduler in self.schedulers.items():
            if hasattr(scheduler, "set_begin_index"):
                scheduler.set_begin_index(self.begin[start])

    def add_noise(self, latent, noise, start: int):
        """The latent with the noise of its start step, (1, 4, h, w)."""
        return add_noise(self.first, latent, noise, self.begin[start])

    def scale_model_input(self, latents, timestep):
        """Every latent that has joined, scaled by its scheduler."""
        return self._each(latents, lambda scheduler, rows: scheduler.scale_model_input(latents[rows], timestep))

    def step(self, noise_pred, timestep, latents, return_dict: bool = False):
        """Every latent that has joined, one step further."""

        def further(scheduler, rows):
            return scheduler.step(noise_pred[rows], timestep, latents[rows], return_dict=False)[0]

        reached = self._each(latents, further)
        self.index += 1
        return (reached,)

    def _each(self, latents, change):
        changed = latents.clone()
        for start, rows in self.rows.items():
            if self.begin[start] <= self.index:
                changed[rows] = change(self.schedulers[start], rows)
        return changed

    def only_begun(self, unet):
        """The U-Net, called for the latents that have joined only; it costs nothing for the others."""
        begins, index = self.begins, min(self.begins)

        def predict(model_input, timestep, context, return_dict=False):
            nonlocal index
            joined = [begin <= index for begin in begins]
            joined *= len(model_input) // len(joined)  # with guidance, every latent comes twice
            index += 1
            if all(joined):
                return unet(model_input, timestep, context, return_dict=False)
            joined = torch.tensor(joined, device=model_input.device)
            noise_pred = torch.zeros_like(model_input)
            noise_pred[joined] = unet(model_input[joined], timestep, context[joined], return_dict=False)[0]
            return (noise_pred,)

        return predict
