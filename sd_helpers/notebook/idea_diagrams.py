"""Diagrams of ideas: noise levels, the arrow of guidance, where a run is joined, what a step remembers or adds."""

from __future__ import annotations

import copy

import torch

from ..arguments import door, kind_of, real_number, whole_number
from ..schedulers import set_timesteps
from .svg import BLUE, FAINT, GREEN, RED, Drawing


@door
def noise_levels(scheduler, num_inference_steps: int):
    """The noise levels of the training, how much signal and noise each has, and which of them a run visits."""
    scheduler = copy.deepcopy(scheduler)
    set_timesteps(scheduler, num_inference_steps)
    alphas = scheduler.alphas_cumprod.double()
    last = len(alphas) - 1
    d, left, right, top, bottom = Drawing(900, 300), 70, 860, 40, 200
    x = lambda t: left + (right - left) * float(t) / last  # noqa: E731
    y = lambda share: bottom - (bottom - top) * float(share)  # noqa: E731
    every = range(0, last + 1, 9)
    d.curve([(x(t), y(alphas[t].sqrt())) for t in every], BLUE, 2.4)
    d.curve([(x(t), y((1 - alphas[t]).sqrt())) for t in every], RED, 2.4)
    d.arrow((left, bottom), (right + 14, bottom), colour=FAINT)
    for share in (0, 1):
        d.text(left - 10, y(share) + 4, share, anchor="end", size=11)
    d.text(x(last * 0.2), y(alphas[int(last * 0.2)].sqrt()) - 9, "share of the picture", size=12, colour=BLUE, anchor="start")
    d.text(
        x(last * 0.2) + 6, y((1 - alphas[int(last * 0.2)]).sqrt()) + 20, "share of the noise", size=12, colour=RED, anchor="start"
    )
    visited = [float(t) for t in scheduler.timesteps]
    for t in visited:
        d.arrow((x(t), bottom + 8), (x(t), bottom + 26), colour=GREEN, head=False, width=2)
    d.text(left, bottom + 46, f"{last + 1} levels of the training, t = 0", anchor="start", size=11)
    d.text(right, bottom + 46, f"t = {last}", anchor="end", size=11)
    d.text((left + right) / 2, bottom + 46, f"the {len(visited)} that this run visits, from right to left", size=12, colour=GREEN)
    d.arrow((right - 60, bottom + 66), (left + 60, bottom + 66), colour=GREEN)
    return d.shown(
        f"The picture's share falls and the noise's rises over {last + 1} training levels; marks show the {len(visited)} "
        f"timesteps of this run, from {visited[0]:.0f} to {visited[-1]:.0f}."
    )


def guidance_arrow(noise_uncond: torch.Tensor, noise_text: torch.Tensor, guidance_scale: float):
    """The two predictions and the guided one, in the plane that holds both, true to length and angle.

    Args:
        noise_uncond, noise_text: (1, 4, h, w) or any shape, the two answers of one step.
        guidance_scale: how far the line is followed; 1 ends at `noise_text`.

    Raises:
        ValueError: predictions of different shapes, or none.
    """
    guidance_scale = real_number("guidance_scale", guidance_scale)
    shapes = [kind_of(noise) for noise in (noise_uncond, noise_text)]
    if not all(torch.is_tensor(noise) for noise in (noise_uncond, noise_text)) or noise_uncond.shape != noise_text.shape:
        raise ValueError(f"noise_uncond and noise_text must be tensors of one shape, not {' and '.join(shapes)}.")
    a, b = (noise.detach().double().cpu().flatten() for noise in (noise_uncond, noise_text))
    a, b = a / a.numel() ** 0.5, b / b.numel() ** 0.5  # lengths become root mean squares
    apart = float((b - a).norm()) or 1e-9
    onward = (b - a) / apart  # to the right in the drawing
    along = float(a @ onward)
    across = float((a - along * onward).norm())
    d, y = Drawing(900, 230), 84
    zoom = 620 / (apart * (max(1.0, guidance_scale) - min(0.0, guidance_scale)))
    first = 100 - min(0.0, guidance_scale) * apart * zoom
    uncond, text = (first, y), (first + apart * zoom, y)
    guided = (first + guidance_scale * apart * zoom, y)
    for tip, colour, beyond in ((uncond, FAINT, along), (text, BLUE, along + apart)):
        # Both arrows begin at 0, far below at this scale: only their last part fits in, at its true angle.
        x = tip[0] - 105 * beyond / across if across else tip[0]
        d.arrow((x, y + 105), tip, colour=colour, dashed=True)
    d.arrow(text, guided, colour=RED, width=3)
    d.arrow(uncond, text, colour=BLUE, width=3)
    d.text(uncond[0] - 12, y - 14, "without the prompt", size=12, anchor="start", colour=FAINT)
    side = "end" if text[0] > 700 else "start"
    d.text(text[0] + (-8 if side == "end" else 8), y + 26, "with the prompt: scale 1", size=12, anchor=side, colour=BLUE)
    d.text(guided[0], y - 14, f"guided: scale {guidance_scale:g}", size=12, colour=RED)
    d.text(20, 214, "dashed: the ends of the two predictions, which begin at 0, far below", anchor="start", size=11, colour=FAINT)
    lengths = [float(noise.norm()) for noise in (a, b)]
    told = f"lengths: without {lengths[0]:.2f}, with {lengths[1]:.2f}, apart {apart:.3f}"
    d.text(880, 24, told, anchor="end", size=11, mono=True)
    return d.shown(
        f"Two noise predictions in their plane, {apart:.3f} apart at a length of {lengths[0]:.2f}; the line from the one without "
        f"the prompt through the one with it is followed to {guidance_scale:g} times the difference."
    )


@door
def image_to_image(scheduler, num_inference_steps: int, start_step: int):
    """The steps of a run on a line, those that are left out, and where a noised picture joins."""
    steps = whole_number("num_inference_steps", num_inference_steps, 1, 1000)
    start = whole_number("start_step", start_step, 0, steps)
    scheduler = copy.deepcopy(scheduler)
    set_timesteps(scheduler, steps)
    d, left, right, y = Drawing(900, 230), 130, 800, 150
    x = lambda i: left + (right - left) * i / steps  # noqa: E731
    noise = d.box(14, y - 24, 84, 48, ["noise"], "latents", dashed=start > 0)
    d.box(816, y - 24, 70, 48, ["x0"], "pixels")
    d.arrow(noise.right, (x(start), y), colour=FAINT, dashed=True, head=False)
    d.arrow((x(start), y), (814, y), width=2.5, colour=BLUE)
    for i in range(steps):
        d.circle(x(i), y, 4, BLUE if i >= start else FAINT, filled=i >= start)
    for i in sorted({0, start, steps - 1}):
        if i < steps:
            d.text(x(i), y + 26, f"step {i}", size=11)
            d.text(x(i), y + 42, f"t = {float(scheduler.timesteps[i]):.0f}", size=11, mono=True, colour=FAINT)
    if start < steps:
        picture = d.box(x(start) - 60, 18, 120, 52, ["your picture", "encoded"], "pixels")
        d.arrow(picture.bottom, (x(start), y - 7), label="")
        d.text(
            x(start) + 10, 100, f"+ the noise of t = {float(scheduler.timesteps[start]):.0f}", anchor="start", size=12, mono=True
        )
    d.text((left + right) / 2, 218, f"{steps - start} of {steps} steps are taken, {start} are left out", size=12)
    return d.shown(
        f"A run of {steps} steps as a line of dots; a picture with noise added joins it at step {start}, so that {steps - start} "
        "steps are taken."
    )


def slopes(order: int = 4, num_steps: int = 7):
    """What a multistep method such as LMS remembers: each step uses the slopes of those before it, up to `order`."""
    order, steps = whole_number("order", order, 1, 8), whole_number("num_steps", num_steps, 1, 12)
    d = Drawing(900, 80 + 24 * steps)
    for i in range(steps):
        y = 62 + 24 * i
        d.text(110, y + 4, f"step {i}", anchor="end", size=12)
        for j in range(steps):
            x = 150 + 62 * j
            used = i - order < j <= i
            d.box(x, y - 10, 56, 20, [], "latents" if used else "", lit=used and j == i)
        d.text(
            150 + 62 * steps + 20,
            y + 4,
            f"uses {min(i + 1, order)} slope{'s' if i else ''}",
            anchor="start",
            size=11,
            colour=FAINT,
        )
    for j in range(steps):
        d.text(178 + 62 * j, 34, f"slope {j}", size=11, mono=True)
    d.text(150, 16, "asked of the U-Net at", anchor="start", size=11, colour=FAINT)
    return d.shown(f"A triangle of marks: step i uses the slopes of at most {order} steps, its own and those before it.")


def random_step(sigma: float, sigma_next: float, eta: float = 1.0):
    """A step of a random sampler: down past the next noise level, and up again with fresh noise; both true to scale.

    Args:
        sigma, sigma_next: the noise levels before and after the step, sigma_next the smaller one, above 0.
        eta: how much of it is random: 0 is Euler's step, 1 Euler ancestral's.
    """
    sigma_next = real_number("sigma_next", sigma_next)
    sigma, eta = real_number("sigma", sigma), real_number("eta", eta, 0, 1)
    if not 0 < sigma_next < sigma:
        raise ValueError(f"sigma_next={sigma_next:g} must lie between 0 and sigma={sigma:g}.")
    up = eta * sigma_next * (1 - (sigma_next / sigma) ** 2) ** 0.5
    down = (sigma_next**2 - up**2) ** 0.5
    d, left, right, y = Drawing(900, 236), 60, 560, 120
    x = lambda level: right - (right - left) * level / sigma  # noqa: E731
    d.arrow((left - 20, y), (right + 26, y), colour=FAINT)
    d.text(right + 30, y - 12, "less noise", anchor="end", size=11, colour=FAINT)
    for level, name, place in ((sigma, "sigma", 24), (sigma_next, "sigma_next", 24), (down, "sigma_down", 44), (0.0, "0", 24)):
        d.circle(x(level), y, 5)
        told = name if level == 0 else f"{name} {level:.2f}"
        d.text(x(level), y + place, told, size=11, mono=True, anchor="middle" if level < sigma else "start")
    d.arrow((left, y - 8), ((left + x(down)) / 2, y - 62), (x(down), y - 8), colour=BLUE, width=2.5)
    d.text((left + x(down)) / 2, y - 70, "1: Euler's step, too far", size=12, colour=BLUE)
    if up > 0.02 * sigma_next:
        d.arrow((x(down), y + 52), (x(sigma_next), y + 52), colour=RED, width=2.5)
        d.text((x(down) + x(sigma_next)) / 2, y + 72, "2: fresh noise, back up", size=12, colour=RED)
    # Independent noises add up like the sides of a right angle.
    scale = 170 / sigma_next
    corner, top = (700.0, 196.0), (700.0, 196.0 - up * scale)
    end = (700.0 + down * scale, 196.0)
    d.arrow(corner, end, colour=BLUE, head=False, width=2.5)
    d.arrow(corner, top, colour=RED, head=False, width=2.5)
    d.arrow(end, top, colour=GREEN, head=False, width=2.5)
    d.text((corner[0] + end[0]) / 2, 214, f"sigma_down {down:.2f}", size=11, mono=True, colour=BLUE)
    d.text(692, (196 + top[1]) / 2, f"sigma_up {up:.2f}", size=11, mono=True, colour=RED, anchor="end")
    d.text((end[0] + top[0]) / 2 + 12, (end[1] + top[1]) / 2 - 6, f"sigma_next {sigma_next:.2f}", size=11, mono=True,
           colour=GREEN, anchor="start")  # fmt: skip
    return d.shown(
        f"From sigma {sigma:.2f} a step goes down to sigma_down {down:.2f}, past sigma_next {sigma_next:.2f}; fresh noise of "
        f"sigma_up {up:.2f} brings it back up. sigma_down, sigma_up and sigma_next are the sides of a right-angled triangle."
    )
