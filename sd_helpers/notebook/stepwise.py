"""Training step by step: it can be watched, stopped by a button, and what was learned until then stays."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import torch

from ..arguments import real_number, whole_number

OnStep = Callable[[int, float], "bool | None"]

MOST_STEPS = 10**6
BETWEEN = 0.1  # seconds from one sight of a training to the next: hundreds of messages a second would drown a page


class Training:
    """Adam on a few parameters, step by step. It can be stopped at any time, and what was learned until then stays."""

    def __init__(self, parameters, loss: Callable[[], torch.Tensor], result: Callable, learning_rate: float):
        """
        Args:
            loss: draws a batch and returns its loss.
            result: makes what has been learned from the losses so far.
        """
        self.optimizer = torch.optim.Adam(parameters, lr=real_number("learning_rate", learning_rate, 0))
        self.loss, self.make_result = loss, result
        self.losses: list[float] = []

    def step(self) -> float:
        """Take one step; returns its loss."""
        with torch.enable_grad():
            value = self.loss()
        self.optimizer.zero_grad()
        value.backward()
        self.optimizer.step()
        self.losses.append(value.item())
        return self.losses[-1]

    def result(self):
        """What has been learned so far."""
        return self.make_result(self.losses)

    def run(self, num_steps: int, on_step: OnStep | None = None):
        """Take steps, and return what was learned.

        Args:
            on_step: called with the step, counted from 0, and its loss; stops the training by returning True. So does Ctrl-C.
        """
        try:
            for step in range(whole_number("num_steps", num_steps, 0, MOST_STEPS)):
                loss = self.step()
                if on_step is not None and on_step(step, loss):
                    break
        except KeyboardInterrupt:
            pass  # keep what was learned
        return self.result()


class TrainingPanel:
    """A progress bar, the loss, and a button that stops a training and keeps what was learned.

    A kernel hears of a click only while the cell waits: write `learned = await panel.run(word_training(components, ...))`.
    """

    def __init__(self, num_steps: int):
        import ipywidgets

        self.stopped, self.num_steps = False, whole_number("num_steps", num_steps, 0, MOST_STEPS)
        self.bar = ipywidgets.IntProgress(max=num_steps, description="training")
        self.button = ipywidgets.Button(description="Stop and keep", tooltip="end the training, keep what was learned")
        self.said = ipywidgets.Label("step 0")
        self.button.on_click(lambda button: setattr(self, "stopped", True))
        self.box = ipywidgets.HBox([self.bar, self.button, self.said])

    async def run(self, training: Training):
        """Show the panel, train, and return what was learned; Jupyter's own stop button ends it as well.

        Between two steps the kernel may listen. A thread would leave it free all the time, but torch computes at half the
        speed in every thread once there is a second.
        """
        from .widgets import display_widget

        display_widget(self.box, "(run this cell to train)")
        shown = 0.0
        try:
            while len(training.losses) < self.num_steps and not self.stopped:
                training.step()
                if time.monotonic() > shown + BETWEEN:
                    shown = time.monotonic()
                    self._show(training.losses)
                await asyncio.sleep(0.001)
        except (KeyboardInterrupt, asyncio.CancelledError):
            pass  # Jupyter's stop button, during a step or between two
        self._show(training.losses)
        return training.result()

    def _show(self, losses: list[float]) -> None:
        if losses:
            self.bar.value, self.said.value = len(losses), f"step {len(losses)}, loss {losses[-1]:.3f}"
