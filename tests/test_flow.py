"""Flow matching in the plane, and the published models built without weights."""

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from sd_helpers import exact_noise, plane
from sd_helpers.beyond import successors
from sd_helpers.beyond.flow import exact_velocity, shifted


@pytest.mark.parametrize("s", [0.05, 0.5, 0.9])
def test_a_perfect_velocity_is_what_a_perfect_noise_prediction_says(s):
    points = plane.moons(50)
    x = torch.randn(20, 2, generator=torch.Generator().manual_seed(0))
    noise = exact_noise(x / (1 - s), s / (1 - s), points)
    x0 = (x - s * noise) / (1 - s)
    torch.testing.assert_close(exact_velocity(x, s, points), noise - x0, rtol=1e-4, atol=1e-4)


def test_at_pure_noise_it_leads_to_the_mean():
    points = plane.letters("SD", 60) + 0.5
    x = torch.randn(20, 2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(x - exact_velocity(x, 1.0, points), points.mean(dim=0).expand(20, 2))


def test_of_one_point_all_lines_are_straight():
    x, point = torch.randn(5, 2, generator=torch.Generator().manual_seed(0)), torch.tensor([[0.5, -1.0]])
    for s in (0.2, 0.7):
        on_line = (1 - s) * point + s * x
        torch.testing.assert_close(exact_velocity(on_line, s, point), x - point)


@pytest.mark.parametrize("s", [0, -0.5, 1.5, "half"])
def test_a_velocity_asks_for_a_share_of_noise(s):
    with pytest.raises(ValueError, match="s="):
        exact_velocity(torch.zeros(1, 2), s, torch.zeros(1, 2))


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_shifted_levels_are_the_schedulers(shift):
    levels = torch.linspace(1, 0.1, 10)
    scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
    scheduler.set_timesteps(sigmas=levels.tolist())
    torch.testing.assert_close(shifted(levels, shift), scheduler.sigmas[:-1])
    assert shifted(0.0, shift) == 0 and shifted(1.0, shift) == 1


def test_a_shift_makes_up_for_pixels():
    for s, times in ((0.3, 2.0), (0.8, 4.0)):
        moved = shifted(s, times)
        assert moved / (1 - moved) == pytest.approx(times * s / (1 - s))
    with pytest.raises(ValueError, match="shift=0.0 must be above 0"):
        shifted(0.5, 0)


PUBLISHED = {  # of the networks in billions; papers and model cards round them to 0.86, 2.6, 2 and 12
    "SD v1": 0.86,
    "SDXL": 2.57,
    "SD3 Medium": 2.03,
    "FLUX.1": 11.9,
}


@pytest.mark.parametrize("name", successors.NAMES)
def test_published_models_have_their_published_sizes(name):
    parts = successors.on_meta(name)
    assert successors.numbers(parts["network"]) / 1e9 == pytest.approx(PUBLISHED[name], abs=0.006)
    assert all(parameter.is_meta for part in parts.values() for parameter in part.parameters())
    assert parts["vae"].config.latent_channels == (4 if name in ("SD v1", "SDXL") else 16)
    assert len(parts) - 2 == {"SD v1": 1, "SDXL": 2, "SD3 Medium": 3, "FLUX.1": 2}[name]


def test_text_encoders_have_their_published_sizes():
    parts = successors.on_meta("SD3 Medium")
    assert successors.numbers(parts["CLIP L"]) == 123_650_304
    assert successors.numbers(parts["CLIP bigG"]) == 694_659_840
    assert successors.numbers(parts["T5 XXL"]) == 4_762_310_656


def test_rows_are_read_from_the_modules():
    rows = successors.rows({name: successors.on_meta(name) for name in ("SDXL", "SD3 Medium")})
    assert list(rows) == ["SDXL", "SD3 Medium"]
    assert rows["SDXL"][0] == [["CLIP L", "0.12 B"], ["CLIP bigG", "0.69 B"]]
    assert rows["SDXL"][1:] == ([["U-Net, 2.57 B", "says noise", "reads 2048 wide"]], [["VAE", "4 channels"]])
    assert rows["SD3 Medium"][1:] == ([["transformer, 2.03 B", "says velocity", "reads 4096 wide"]], [["VAE", "16 channels"]])
    for wrong in (None, {"SD9": {}}):
        with pytest.raises(ValueError, match="machines must be a dict of name"):
            successors.rows(wrong)


def test_other_models_are_refused():
    with pytest.raises(ValueError, match="name='SD9' is none of SD v1"):
        successors.on_meta("SD9")


@pytest.mark.parametrize("s", ["a", 3.0, torch.tensor([0.2, -0.1]), float("nan")])
def test_levels_outside_are_not_shifted(s):
    with pytest.raises(ValueError, match="^s"):
        shifted(s, 2)
