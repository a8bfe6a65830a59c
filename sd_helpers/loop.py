"""The denoising loop. There is one: everything that samples calls `denoise`."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch

from .arguments import door, kind_of, whole_number
from .guidance import guided, scale_function
from .runtime.openvino_unet import for_drawing
from .schedulers import FLOW, answered, check_flow, check_scheduler, noise_level, noise_of, set_timesteps, step_noise


@dataclass(frozen=True)
class Step:
    """One step of the loop. `latents = signal * (x0 + sigma * noise)` holds for the latents that the U-Net saw."""

    index: int  # position in the schedule, counted from 0 whatever the start_step
    timestep: float  # 999 (all noise) to 0
    sigma: float  # ratio of noise to signal before the step; infinite where flow begins, with a signal of 0
    signal: float  # 1 for LMS and Euler; sqrt(alpha_cumprod) for DDIM, PNDM, DPM++, UniPC; 1 to 0 for flow
    latents: torch.Tensor  # (n, 4, h, w): in `on_noise` before the step, otherwise those the step reached
    noise_pred: torch.Tensor  # (n, 4, h, w), after guidance
    pred_original_sample: torch.Tensor  # (n, 4, h, w): x0, the clean latents that this noise prediction implies

    def predict_x0(self, latents, noise_pred):
        """Clean latents from noisy ones at this step's noise level; differentiable, for losses in `on_noise`."""
        if not self.signal:
            raise ValueError(f"step {self.index} sees pure noise: no noise prediction tells the picture. Steer later steps only.")
        return latents / self.signal - self.sigma * noise_pred

    @property
    def velocity(self):
        """(n, 4, h, w): from the picture straight to the noise, what a flow model answers and its scheduler follows."""
        return self.noise_pred - self.pred_original_sample


@door(latents="(n, channels, h, w)")  # newer models have 16 channels, points in the plane 2
def denoise(
    unet,
    scheduler,
    latents: torch.Tensor,
    prompt_embeds: torch.Tensor,
    *,
    negative_embeds: torch.Tensor | None = None,
    guidance_scale: float | Callable[[int], float] = 7.5,
    num_inference_steps: int = 50,
    start_step: int = 0,
    generator: torch.Generator | list[torch.Generator] | None = None,
    on_noise: Callable[[Step], torch.Tensor | None] | None = None,
    on_step: Callable[[Step], torch.Tensor | None] | None = None,
) -> Iterator[Step]:
    """Denoise latents step by step, yielding a `Step` after each.

    Works on its own copy of the scheduler, so nothing is left behind and runs cannot disturb each other.

    Args:
        unet: called once a step. In place of one that `load` gave out, unchanged and unwatched, on a CPU, OpenVINO answers
            (`openvino_unet`): the same noise to rounding, in half the time.
        scheduler: over betas, of a network that predicts noise or velocity (`prediction_type`), or a
            `FlowMatchEulerDiscreteScheduler`, of one that predicts flow, noise - x0 (Lipman et al. 2023; SD3, Flux).
        latents: (n, channels, h, w), noise times `scheduler.init_noise_sigma` (flow: 1), or with a `start_step` what `add_noise`
            gives.
        prompt_embeds: (n, 77, D) or (1, 77, D), from `embed_prompt`; fewer positions work, too.
        negative_embeds: the same for the negative or empty prompt; needed when guidance is on.
        guidance_scale: a number, a tensor (one number, or one for each latent, (n, 1, 1, 1)), or a function of the step's index
            that gives such. As in diffusers, a number of 1 (or less) is off, and the U-Net then sees n latents, not 2n; a tensor
            is taken at its word.
        num_inference_steps: steps of the whole schedule.
        start_step: how many of them to leave out at the beginning, 0 to num_inference_steps. With diffusers' PNDM, which
            takes its second step twice, a later start than 0 ends a step short, as it does in diffusers' own pipelines.
        generator: of the noise that random samplers (Euler ancestral, DDPM, LCM and others) add at each step: one for each
            latent, which makes its picture the same alone and in a batch, or one for all; None takes torch's own.
        on_noise: sees the state before the scheduler's step; may return another noise prediction. Gradients are off:
            turn them on inside with `torch.enable_grad()`.
        on_step: sees the state after it; may return other latents.

    Raises:
        ValueError: embeddings that do not fit the latents, guidance without negative_embeds, a number of steps or a
            start_step out of range, a scheduler that `check_scheduler` or `check_flow` refuses, `on_noise` steering pure noise.
    """
    answers = answered(scheduler) if hasattr(scheduler, "config") else None
    (check_flow if answers == FLOW else check_scheduler)(scheduler)
    wide = getattr(getattr(unet, "config", None), "cross_attention_dim", None)
    unet, scheduler = for_drawing(unet), copy.deepcopy(scheduler)
    if answers != FLOW:
        scheduler.register_to_config(prediction_type="epsilon")  # noise is what it gets, whatever the U-Net answers
    set_timesteps(scheduler, num_inference_steps)
    start_step = check_start_step(start_step, num_inference_steps)
    begin = start_step * scheduler.order
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(begin)
    # PNDM has one timestep more than steps: leaving out all steps must leave out that one too.
    indices = range(begin, len(scheduler.timesteps)) if start_step < num_inference_steps else range(0)

    prompt_embeds = _rows(prompt_embeds, latents, "prompt_embeds", wide)
    scale_at = scale_function(guidance_scale)
    if negative_embeds is not None:
        negative_embeds = _rows(negative_embeds, latents, "negative_embeds", wide)
        if negative_embeds.shape != prompt_embeds.shape:
            raise ValueError(
                f"negative_embeds has {negative_embeds.shape[1]} positions, prompt_embeds {prompt_embeds.shape[1]}: not the same."
            )
    elif any(torch.is_tensor(scale) or scale > 1 for scale in map(scale_at, indices)):
        raise ValueError(
            "negative_embeds=None, but guidance_scale is above 1 and needs a prompt to lead away from: pass "
            "embed_prompt('', tokenizer, text_encoder), or guidance_scale=1."
        )

    def ask(model_input, timestep, scale):
        if torch.is_tensor(scale) and scale.shape not in ((), (len(latents), 1, 1, 1)):
            raise ValueError(f"guidance_scale is a tensor {tuple(scale.shape)}: one number for each latent is (n, 1, 1, 1).")
        if not torch.is_tensor(scale) and scale <= 1:
            return asked(model_input, timestep, prompt_embeds)
        context = torch.cat([negative_embeds, prompt_embeds])
        pair = asked(torch.cat([model_input] * 2), timestep, context)
        return guided(*pair.chunk(2), scale)

    def asked(model_input, timestep, context):
        noise = unet(model_input, timestep, context, return_dict=False)[0]
        if getattr(noise, "shape", None) != model_input.shape:
            raise ValueError(f"unet gave {kind_of(noise)} for latents {tuple(model_input.shape)}: it must predict their noise.")
        return noise

    extra = step_noise(scheduler, generator)
    return _steps(scheduler, indices, latents, ask, answers, scale_at, extra, on_noise, on_step)


@torch.no_grad()
def _steps(scheduler, indices, latents, ask, answers, scale_at, extra, on_noise, on_step) -> Iterator[Step]:
    """The loop itself: scale, predict, (look or steer), step, (look or replace), yield."""
    flow = answers == FLOW
    there = scheduler.timesteps.to(latents.device)  # copied once: a copy at every step would wait for the GPU
    for index in indices:
        timestep = scheduler.timesteps[index]
        signal, sigma = noise_level(scheduler, index)
        model_input = latents if flow else scheduler.scale_model_input(latents, timestep)
        answer = ask(model_input, there[index], scale_at(index))
        noise_pred = noise_of(answer, model_input, sigma, answers)
        x0 = noise_pred - answer if flow else latents / signal - sigma * noise_pred
        state = Step(index, float(timestep), sigma, signal, latents, noise_pred, x0)

        replacement = on_noise(state) if on_noise else None
        if replacement is not None:
            noise_pred = replacement.detach()
            state = replace(state, noise_pred=noise_pred, pred_original_sample=state.predict_x0(latents, noise_pred))

        followed = state.velocity if flow else noise_pred
        latents = scheduler.step(followed, timestep, latents, **extra, return_dict=False)[0]
        state = replace(state, latents=latents)

        replacement = on_step(state) if on_step else None
        if replacement is not None:
            latents = replacement.detach()
            state = replace(state, latents=latents)
        yield state


def check_start_step(start_step: int, num_inference_steps: int) -> int:
    """start_step as an int, or a ValueError unless it is a whole number from 0 (all steps) to num_inference_steps (none)."""
    remedy = "0 starts from pure noise, num_inference_steps leaves the picture as it is."
    return whole_number("start_step", start_step, 0, num_inference_steps, remedy)


def _rows(embeds, latents, argument: str, wide: int | None):
    """Embeddings with one row for each latent, or a ValueError that says why that cannot be."""
    if len(embeds) not in (1, len(latents)):
        raise ValueError(f"{argument} has {len(embeds)} rows for {len(latents)} latents; give one row, or one for each.")
    if wide is not None and embeds.shape[2] != wide:
        raise ValueError(
            f"{argument} is {embeds.shape[2]} wide, but this model's U-Net reads {wide}: embed prompts with its own."
        )
    return embeds.expand(len(latents), -1, -1).to(latents.device)
