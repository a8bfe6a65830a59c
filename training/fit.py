"""One training loop for all three models, on accelerate: mixed precision, several processes, checkpoints, exact resume."""

import math
import time
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, set_seed

from .presets import Stage


def learning_rate(stage: Stage, step: int) -> float:
    """Linear warm-up, then a cosine down to a hundredth."""
    if step < stage.warmup:
        return stage.lr * (step + 1) / stage.warmup
    progress = (step - stage.warmup) / max(1, stage.steps - stage.warmup)
    return stage.lr * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))


def fit(module, loss_of, stage: Stage, folder: Path, *, precision="no", ema=None, decay=0.01, seed=0, save_minutes=3, report=50,
        snapshot=None):  # fmt: skip
    """Train `module` up to stage.end steps and return it; a killed run goes on where its last checkpoint was.

    `loss_of(module, batch_size, generator, done)` draws a batch and returns the loss; `done` is the share of the steps that lie
    behind, 0 to 1. All chance in it must come from `generator`, which is seeded by the step's number alone: that is what makes a
    resumed run equal an unbroken one.
    `ema` is a diffusers EMAModel over the module's parameters, stepped and saved along. `snapshot(step)` is called ten times
    on the way, for a learning curve.
    """
    accelerator = Accelerator(mixed_precision=precision)
    set_seed(seed)
    optimizer = torch.optim.AdamW(module.parameters(), lr=stage.lr, weight_decay=decay, betas=(0.9, 0.99), fused=True)
    module, optimizer = accelerator.prepare(module, optimizer)
    if ema is not None:
        ema.to(accelerator.device)
        accelerator.register_for_checkpointing(ema)
    progress = Progress(folder, stage, accelerator)
    accelerator.register_for_checkpointing(progress)
    progress.resume()
    module.train()
    while progress.step < stage.end:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(stage, progress.step)
        shard = progress.step * accelerator.num_processes + accelerator.process_index
        generator = torch.Generator().manual_seed(seed * 1_000_000_007 + shard)
        with accelerator.autocast():
            loss = loss_of(module, stage.batch // accelerator.num_processes, generator, progress.step / stage.steps)
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if ema is not None:
            ema.step(module.parameters())
        progress.advance(loss, report, save_minutes)
        if snapshot and accelerator.is_main_process and progress.step % max(1, stage.end // 10) == 0:
            snapshot(progress.step)
    progress.save()
    return accelerator.unwrap_model(module)


class Progress:
    """Counts steps, prints a line now and then, and saves the whole state every few minutes."""

    def __init__(self, folder: Path, stage: Stage, accelerator: Accelerator):
        self.folder, self.stage, self.accelerator = Path(folder), stage, accelerator
        self.step, self.seconds, self.loss = 0, 0.0, 0.0
        self.ticked = self.saved = time.time()

    def state_dict(self):
        return {"step": self.step, "seconds": self.seconds, "loss": self.loss}

    def load_state_dict(self, state):
        self.step, self.seconds, self.loss = state["step"], state["seconds"], state["loss"]

    def resume(self):
        done = sorted(self.folder.glob("step-*"))
        if done:
            self.accelerator.load_state(str(done[-1]))
            self.accelerator.print(f"{self.folder.name}: going on at step {self.step} of {self.stage.end}", flush=True)
        self.ticked = time.time()

    def advance(self, loss, report, save_minutes):
        now = time.time()
        self.step, self.seconds, self.ticked = self.step + 1, self.seconds + now - self.ticked, now
        # The loss is read only when printed: reading it makes a GPU wait.
        if self.step % report == 0 or self.step == 1:
            self.loss = float(loss.detach())
            left = self.seconds / self.step * (self.stage.end - self.step) / 60
            line = f"{self.folder.name}: step {self.step} of {self.stage.end}, loss {self.loss:.4f}, {left:.0f} min left"
            self.accelerator.print(line, flush=True)
            # Asked here and not at every step: the processes must agree, by the main one's clock.
            due = broadcast_object_list([now - self.saved > save_minutes * 60])
            if due[0]:
                self.save()

    def save(self):
        """Write the new checkpoint beside the old under another name, then drop the old: a kill leaves one whole."""
        target = self.folder / f"step-{self.step:07d}"
        if not target.exists():
            partial = self.folder / "partial"
            self.accelerator.save_state(str(partial))
            self.accelerator.wait_for_everyone()
            if self.accelerator.is_main_process:
                partial.rename(target)
                for old in sorted(self.folder.glob("step-*"))[:-1]:
                    _remove(old)
            self.accelerator.wait_for_everyone()
        self.saved = time.time()


def _remove(folder: Path):
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
