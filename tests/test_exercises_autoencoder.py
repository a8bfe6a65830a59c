"""The checks of notebook 01's exercises: right answers, wrong ones with their hints, and open ones."""

import pytest
import torch

from sd_helpers.autoencoder import pil_to_latent, pil_to_tensor
from sd_helpers.exercises import autoencoder as check

SD = 0.18215


def sample(mean, logvar, noise, scaling_factor):
    return (mean + (0.5 * logvar).exp() * noise) * scaling_factor


def search(latents, pixels, vae, steps, lr=0.05, sign=1):
    better = latents.clone().requires_grad_()
    optimizer = torch.optim.Adam([better], lr=lr)
    for _ in range(steps):
        optimizer.zero_grad()
        decoded = vae.decode(better / vae.config.scaling_factor).sample
        (sign * torch.nn.functional.mse_loss(decoded, pixels)).backward()
        optimizer.step()
    return better.detach()


def in_place(latents, *others):
    latents.copy_(search(latents, *others))
    return latents


@pytest.mark.parametrize("answer", [..., lambda factor, channels: ...])
def test_1_open(answer, capsys):
    check.exercise_1(answer)
    assert capsys.readouterr().out.startswith("Not answered yet")


def test_1_right(capsys):
    check.exercise_1(lambda factor, channels: 3 * factor**2 / channels)
    assert capsys.readouterr().out.startswith("Right. SD v1 48")


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda factor, channels: factor**2, "counted places"),
        (lambda factor, channels: 3 * factor**2, "holds not one number"),
        (lambda factor, channels: factor**2 * channels / 3, "upside down"),
        (lambda factor, channels: factor**2 / channels, "holds three numbers, too"),
        (lambda factor, channels: 3 * factor / channels, "both sides"),
        (lambda factor, channels: channels / (3 * factor**2), "the other way round"),
        (lambda factor, channels: 48, "should be 12, and is 48"),
        (lambda factor, channels: None, "None"),
        (lambda factor, channels: "48 times", "one number"),
        (lambda factor, channels: float("nan"), "finite"),
        (lambda factor: 48, "raised TypeError"),
    ],
)
def test_1_wrong(answer, hint, capsys):
    check.exercise_1(answer)
    said = capsys.readouterr().out
    assert said.startswith("Not yet.") and hint in said, said


@pytest.mark.parametrize("answer", [..., lambda *given: ...])
def test_2_open(answer, capsys):
    check.exercise_2(answer)
    assert capsys.readouterr().out.startswith("Not answered yet")


def test_2_right(capsys):
    check.exercise_2(sample)
    assert capsys.readouterr().out.startswith("Right.")


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda m, v, n, s: m * s, "That is the mean"),
        (lambda m, v, n, s: sample(m, v, n, 1), "not scaled"),
        (lambda m, v, n, s: sample(m, v, n, 1 / s), "dividing is for the way back"),
        (lambda m, v, n, s: m * s + (v / 2).exp() * n, "noise has to be scaled"),
        (lambda m, v, n, s: (m + v.exp() * n) * s, "is the variance"),
        (lambda m, v, n, s: (m + v * n) * s, "logarithm"),
        (lambda m, v, n, s: (m + n) * s, "its own"),
        (lambda m, v, n, s: sample(m, v, -n, s), "Add the noise"),
        (lambda m, v, n, s: sample(m, v, n, SD), "not scaling_factor"),
        (lambda m, v, n, s: sample(m, v, n, s)[0], "Its shape"),
        (lambda m, v, n, s: None, "None"),
        (lambda m, v, n, s: sample(m, v, n), "raised TypeError"),
    ],
)
def test_2_wrong(answer, hint, capsys):
    check.exercise_2(answer)
    said = capsys.readouterr().out
    assert said.startswith("Not yet.") and hint in said, said


def drawn(vae, pictures, generator):
    """Unscaled samples, (n, 4, h, w), drawn picture by picture."""
    return torch.cat([pil_to_latent(p, vae, generator=generator) for p in pictures]) / vae.config.scaling_factor


def of_encode(vae, pictures, generator):
    with torch.no_grad():
        return 1 / torch.cat([vae.encode(pil_to_tensor(p)).latent_dist.sample(generator) for p in pictures]).std()


def of_a_batch(vae, pictures, generator):
    with torch.no_grad():
        return 1 / vae.encode(torch.cat([pil_to_tensor(p) for p in pictures])).latent_dist.sample(generator).std()


@pytest.mark.parametrize("answer", [..., lambda *given: ...])
def test_3_open(answer, capsys):
    check.exercise_3(answer)
    assert capsys.readouterr().out.startswith("Not answered yet")


@pytest.mark.parametrize(
    "answer",
    [
        of_encode,
        of_a_batch,
        lambda vae, pictures, generator: 1 / drawn(vae, pictures, generator).std().item(),
    ],
)
def test_3_right(answer, capsys):
    check.exercise_3(answer)
    assert capsys.readouterr().out.startswith("Right. So Rombach et al.")


def test_3_leaves_the_global_generator_as_it_was():
    before = torch.get_rng_state()
    check.small_vae(0, 0.3)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda vae, pictures, g: drawn(vae, pictures, g).std(), "bring it to 1"),
        (lambda vae, pictures, g: 1 / (drawn(vae, pictures, g) * vae.config.scaling_factor).std(), "scaled already"),
        (lambda vae, pictures, g: vae.config.scaling_factor, "made up"),
        (lambda vae, pictures, g: 1 / drawn(vae, pictures, g).var(), "variance"),
        (lambda vae, pictures, g: 1 / drawn(vae, pictures, None).std(), "You measured means"),
        (lambda vae, pictures, g: 1 / drawn(vae, pictures, g).std(dim=(0, 2, 3)), "each channel"),
        (lambda vae, pictures, g: 1 / drawn(vae, pictures, g).std(dim=(1, 2, 3)).mean(), "over all of them together"),
        (lambda vae, pictures, g: (1 / drawn(vae, pictures, g).std(dim=(1, 2, 3))).mean(), "over all of them together"),
        (lambda vae, pictures, g: SD, "it should be"),
        (lambda vae, pictures, g: 1 / drawn(vae, pictures[::-1], g).std(), "Nearly: draw one sample for each picture, in turn"),
        (lambda vae, pictures, g: None, "None"),
        (lambda vae, pictures: SD, "raised TypeError"),
    ],
)
def test_3_wrong(answer, hint, capsys):
    check.exercise_3(answer)
    said = capsys.readouterr().out
    assert said.startswith("Not yet.") and hint in said, said


@pytest.mark.parametrize("answer", [..., lambda *given: ...])
def test_4_open(answer, capsys):
    check.exercise_4(answer)
    assert capsys.readouterr().out.startswith("Not answered yet")


def test_4_right(capsys):
    check.exercise_4(search)
    assert capsys.readouterr().out.startswith("Right. The squared error fell")


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda latents, pixels, vae, steps: latents.clone(), "Nothing has moved"),
        (lambda latents, pixels, vae, steps: search(latents, pixels, vae, steps, sign=-1), "downhill"),
        (lambda latents, pixels, vae, steps: search(latents, pixels, vae, steps, lr=5.0), "rose"),
        (lambda latents, pixels, vae, steps: search(latents, pixels, vae, 1), "`steps` steps"),
        (lambda latents, pixels, vae, steps: search(latents, pixels, vae, steps, lr=0.005), "learning rate of 0.05, made once"),
        (lambda latents, pixels, vae, steps: search(latents, pixels, vae, steps).requires_grad_(), "detached"),
        (lambda latents, pixels, vae, steps: latents * float("nan"), "not finite"),
        (lambda latents, pixels, vae, steps: latents[0], "Its shape"),
        (lambda latents, pixels, vae, steps: pixels.tolist(), "a tensor"),
        (lambda latents, pixels, vae, steps: None, "a tensor"),
        (in_place, "clone"),
        (lambda latents, pixels, vae: latents, "raised TypeError"),
    ],
)
def test_4_wrong(answer, hint, capsys):
    check.exercise_4(answer)
    said = capsys.readouterr().out
    assert said.startswith("Not yet.") and hint in said, said
