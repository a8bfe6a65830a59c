"""Latents that join the loop at different steps, so that a whole grid of start steps is one batch."""

from __future__ import annotations

import copy
import itertools

import torch

from ..drawing import begin_index
from ..runtime.runtimes import CompiledUNet
from ..schedulers import add_noise, check_scheduler, set_timesteps, step_noise


class Together:
    """A scheduler for latents that join the loop at different steps: each start step has a scheduler of its own.

    Solvers remember earlier slopes, and a latent that has just joined has none; so the memories must be apart. Latents
    that have not joined yet pass unchanged.
    """

    def __init__(self, scheduler, start_steps: list[int], num_inference_steps: int):
        """
        Args:
            start_steps: of each latent, rising, so that those who have joined are always the first rows.
        """
        check_scheduler(scheduler)
        groups = [(start, len(list(same))) for start, same in itertools.groupby(start_steps)]
        ends = list(itertools.accumulate(count for _, count in groups))
        self.schedulers = {start: copy.deepcopy(scheduler) for start, _ in groups}
        self.first = self.schedulers[start_steps[0]]
        self.set_timesteps(num_inference_steps)
        self.begin = {start: begin_index(self.first, start, num_inference_steps) for start in self.schedulers}
        self.rows = {start: slice(end - count, end) for (start, count), end in zip(groups, ends)}
        self.index, self.noise = 0, {}

    config = property(lambda self: self.first.config)
    order = property(lambda self: self.first.order)
    timesteps = property(lambda self: self.first.timesteps)
    sigmas = property(lambda self: self.first.sigmas)  # an AttributeError, as `hasattr` wants it, where there are none
    alphas_cumprod = property(lambda self: self.first.alphas_cumprod)
    betas = property(lambda self: self.first.betas)
    init_noise_sigma = property(lambda self: self.first.init_noise_sigma)

    def set_timesteps(self, num_inference_steps: int) -> None:
        """Choose the timesteps of every scheduler."""
        for scheduler in self.schedulers.values():
            set_timesteps(scheduler, num_inference_steps)

    def register_to_config(self, **settings) -> None:
        """Change settings of every scheduler."""
        for scheduler in self.schedulers.values():
            scheduler.register_to_config(**settings)

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
        return self._each(latents, lambda start, rows: self.schedulers[start].scale_model_input(latents[rows], timestep))

    def step(self, noise_pred, timestep, latents, generator: list | None = None, return_dict: bool = False):
        """Every latent that has joined, one step further, random samplers by a generator for each latent."""
        if generator is not None and not self.noise:
            self.noise = {start: step_noise(self.schedulers[start], generator[rows]) for start, rows in self.rows.items()}

        def further(start, rows):
            scheduler, noise = self.schedulers[start], self.noise.get(start, {})
            return scheduler.step(noise_pred[rows], timestep, latents[rows], **noise, return_dict=False)[0]

        reached = self._each(latents, further)
        self.index += 1
        return (reached,)

    def joined(self, index: int) -> int:
        """How many latents take the step with this index."""
        return sum(rows.stop - rows.start for start, rows in self.rows.items() if self.begin[start] <= index)

    def _each(self, latents, change):
        changed = latents.clone()
        for start, rows in self.rows.items():
            if self.begin[start] <= self.index:
                changed[rows] = change(start, rows)
        return changed

    def only_begun(self, unet):
        """The U-Net, called for the latents that have joined only; it costs nothing for the others.

        One that is compiled for every shape anew is called for 1, 2, 4, 8, ... of them.
        """
        total, index = max(rows.stop for rows in self.rows.values()), min(self.begin.values())

        def predict(model_input, timestep, context, return_dict=False):
            nonlocal index
            joined = self.joined(index)
            if isinstance(unet, CompiledUNet):
                joined = min(total, 1 << (joined - 1).bit_length())
            index += 1
            if joined == total:
                return unet(model_input, timestep, context, return_dict=False)
            # With guidance every latent comes twice: all for the negative prompt, then all for the prompt.
            inputs, contexts = (rows.unflatten(0, (-1, total))[:, :joined].flatten(0, 1) for rows in (model_input, context))
            noise = unet(inputs, timestep, contexts, return_dict=False)[0]
            noise_pred = torch.zeros_like(model_input)
            noise_pred.unflatten(0, (-1, total))[:, :joined] = noise.unflatten(0, (-1, joined))
            return (noise_pred,)

        return predict
