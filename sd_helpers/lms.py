"""The LMS sampler of the published demo, mended where it starts in the middle."""

from __future__ import annotations

import numpy as np
from diffusers import LMSDiscreteScheduler


class LMSScheduler(LMSDiscreteScheduler):
    """diffusers' LMS sampler, with two differences.

    It may start in the middle of the schedule: the order of a step is the number of slopes it has, at most 4, where
    diffusers takes it from the position in the schedule and multiplies a single slope by a fourth-order coefficient.
    And its coefficients are integrated in closed form, since the integrand is a polynomial.
    Started at the beginning it equals diffusers' scheduler.
    """

    def step(self, model_output, timestep, sample, order: int = 4, return_dict: bool = True):
        """One step towards less noise; see `LMSDiscreteScheduler.step`. A ValueError when all steps are taken."""
        if self.step_index is not None and self.step_index >= len(self.timesteps):
            raise ValueError(f"all {len(self.timesteps)} steps are taken: call set_timesteps before beginning anew.")
        slopes = min(len(self.derivatives) + 1, order)
        return super().step(model_output, timestep, sample, order=slopes, return_dict=return_dict)

    def get_lms_coefficient(self, order: int, t: int, current_order: int) -> float:
        """The integral from sigma[t] to sigma[t + 1] of the Lagrange polynomial that is 1 at sigma[t - current_order]."""
        sigmas = np.asarray(self.sigmas, dtype=np.float64)
        here = sigmas[t - current_order]
        others = [sigmas[t - k] for k in range(order) if k != current_order]
        basis = np.atleast_1d(np.poly(others)) / np.prod([here - s for s in others])
        integral = np.polyint(basis)
        return float(np.polyval(integral, sigmas[t + 1]) - np.polyval(integral, sigmas[t]))
