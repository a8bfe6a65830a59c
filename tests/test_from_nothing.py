"""Training from nothing: the small networks, their objective, the average of weights, and the sampler."""

import diffusers
import pytest
import torch

from sd_helpers import denoise, gallery, noise_loss, plane, scheduler_like
from sd_helpers.beyond import from_nothing
from sd_helpers.beyond.from_nothing import (
    AsUNet,
    NetTraining,
    PerfectDenoiser,
    PlaneNet,
    TinyUNet,
    denoising_loss,
    fit,
    perfect_noise,
    run_sigmas,
    sample,
)

SCHEDULER = diffusers.EulerDiscreteScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
ALPHAS = SCHEDULER.alphas_cumprod


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def size(net):
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize("make, shape", [(PlaneNet, (5, 2)), (TinyUNet, (5, 4, 16, 16))])
def test_networks_take_one_level_or_one_for_each(make, shape):
    net, x = make(seed=1), torch.randn(shape, generator=seeded())
    at = net(x, 0.3)
    assert at.shape == x.shape
    torch.testing.assert_close(at, net(x, torch.full((5,), 0.3)))
    torch.testing.assert_close(at, net(x, torch.tensor(0.3)))
    assert not torch.allclose(at, net(x, 0.9))
    levels = torch.linspace(0, 1, 5)
    torch.testing.assert_close(net(x, levels)[2:3], net(x[2:3], levels[2]))


def test_networks_are_small():
    assert size(PlaneNet()) < 20_000 and size(TinyUNet()) < 200_000


@pytest.mark.parametrize("make", [PlaneNet, TinyUNet])
def test_weights_come_from_their_seed_alone(make):
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    one = make(seed=3)
    assert torch.equal(before, torch.random.get_rng_state())
    torch.manual_seed(6)
    same, other = make(seed=3), make(seed=4)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters()))
    assert not torch.equal(next(one.parameters()), next(other.parameters()))


@pytest.mark.parametrize(
    "call, said",
    [
        (lambda: PlaneNet()(torch.zeros(3, 3), 0.5), r"\(n, 2\)"),
        (lambda: PlaneNet()([1, 2], 0.5), "list"),
        (lambda: PlaneNet()(torch.zeros(3, 2), torch.zeros(2)), "one for each of 3"),
        (lambda: PlaneNet(width=0), "width=0"),
        (lambda: PlaneNet(seed=-1), "seed=-1"),
        (lambda: TinyUNet(width=20), "multiple of 8"),
        (lambda: TinyUNet(3)(torch.zeros(1, 4, 16, 16), 0.5), r"\(n, 3, h, w\)"),
        (lambda: TinyUNet()(torch.zeros(1, 4, 16, 18), 0.5), "multiples of 4"),
        (lambda: run_sigmas(ALPHAS, 0), "num_steps=0"),
        (lambda: sample(PlaneNet(), torch.zeros(1, 2), ALPHAS, 3, eta=2), "eta=2"),
        (lambda: NetTraining(PlaneNet(), None, ema=1.5), "ema=1.5"),
        (lambda: from_nothing.nearest(torch.zeros(2, 3), torch.zeros(2, 4)), "differ"),
        (lambda: from_nothing.icon_pictures([]), "no icon"),
        (lambda: from_nothing.icon_pictures("heart"), "icons"),
        (lambda: from_nothing.on_white(torch.zeros(1, 3, 16, 16)), r"\(n, 4, h, w\)"),
    ],
)
def test_refuses_with_a_sentence(call, said):
    with pytest.raises(ValueError, match=said):
        call()


def test_the_loss_is_noise_loss_without_a_prompt():
    net, x0 = TinyUNet(), torch.randn(6, 4, 8, 8, generator=seeded())
    theirs = noise_loss(AsUNet(net), SCHEDULER, x0, torch.zeros(6, 1, 1), seeded(2))
    torch.testing.assert_close(denoising_loss(net, x0, ALPHAS, seeded(2)), theirs)


def test_saying_no_noise_costs_one():
    points = plane.moons(2000)
    assert abs(denoising_loss(lambda x, level: torch.zeros_like(x), points, ALPHAS, seeded()) - 1) < 0.1


def test_training_learns_and_keeps_an_average():
    points, draw = plane.moons(200), seeded()
    loss = lambda net: denoising_loss(net, points, ALPHAS, draw)  # noqa: E731
    training = NetTraining(PlaneNet(16, 2), loss, 3e-3, ema=0.9)
    weights = [training.net.layers[0].weight.detach().clone()]
    for _ in range(5):
        training.step()
        weights.append(training.net.layers[0].weight.detach().clone())
    mean = weights[0]
    for now in weights[1:]:
        mean = 0.9 * mean + 0.1 * now
    torch.testing.assert_close(training.result().layers[0].weight, mean)
    kept = training.result()
    training.run(150)
    torch.testing.assert_close(kept.layers[0].weight, mean)  # what was handed out stays
    assert sum(training.losses[-20:]) < 0.8 * sum(training.losses[:20])


def test_fit_gives_the_network_itself_without_an_average():
    points, net, seen = plane.moons(50), PlaneNet(8, 1), []
    done = fit(
        net,
        lambda n: denoising_loss(n, points, ALPHAS, seeded()),
        num_steps=20,
        on_step=lambda step, loss: seen.append(step) or step == 2,
    )
    assert seen == [0, 1, 2] and not any(p.requires_grad for p in done.parameters())
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), done.parameters()))
    assert next(net.parameters()).requires_grad


def test_levels_are_eulers():
    SCHEDULER.set_timesteps(13)
    timesteps, sigmas = run_sigmas(ALPHAS, 13)
    torch.testing.assert_close(timesteps, SCHEDULER.timesteps.float(), rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(sigmas, SCHEDULER.sigmas.float(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("eta, cls", [(0, diffusers.EulerDiscreteScheduler), (1, diffusers.EulerAncestralDiscreteScheduler)])
def test_the_sampler_is_the_loop_with_diffusers_schedulers(eta, cls):
    net, noise = TinyUNet(seed=2), torch.randn(3, 4, 16, 16, generator=seeded(1))
    path = sample(net, noise, ALPHAS, 8, eta=eta, generator=seeded(4))
    scheduler = scheduler_like(SCHEDULER, cls)
    scheduler.set_timesteps(8)
    start = noise * scheduler.init_noise_sigma
    how = dict(guidance_scale=1, num_inference_steps=8, generator=seeded(4))
    states = list(denoise(AsUNet(net), scheduler, start, torch.zeros(1, 1, 1), **how))
    assert path.shape == (9, 3, 4, 16, 16)
    torch.testing.assert_close(path[0], start, rtol=1e-3, atol=1e-3)
    for by_hand, state in zip(path[1:], states):
        torch.testing.assert_close(by_hand, state.latents, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("t", [0, 50, 950])
def test_the_perfect_denoiser_is_the_planes(t):
    points, x, alpha = plane.spiral(100), torch.randn(9, 2, generator=seeded()), float(ALPHAS[t])
    exact = plane.exact_noise(x / alpha**0.5, ((1 - alpha) / alpha) ** 0.5, points)
    torch.testing.assert_close(PerfectDenoiser(points, ALPHAS)(x, t / 1000), exact, rtol=1e-3, atol=1e-3)


def test_the_perfect_denoiser_of_one_picture_knows_it():
    picture, noise = torch.randn(2, 3, 4, 8, 8, generator=seeded())
    noisy = 0.3**0.5 * picture[:1] + 0.7**0.5 * noise
    torch.testing.assert_close(perfect_noise(noisy, 0.3, picture[:1]), noise, rtol=1e-4, atol=1e-4)


def test_a_perfect_denoiser_draws_the_points():
    points = plane.spiral(100)
    drawn = sample(PerfectDenoiser(points, ALPHAS), torch.randn(100, 2, generator=seeded()), ALPHAS, 100)[-1]
    assert torch.cdist(drawn, points).min(dim=1).values.median() < 0.01


def test_icons_become_tensors_and_back():
    icons = gallery.find("red heart")
    x = from_nothing.icon_pictures(icons)
    assert x.shape == (len(icons), 4, 16, 16) and x.min() >= -1 and x.max() <= 1
    assert x[:, 3, 0, 0].max() < -0.9 and x[:, 3, 7, 8].min() > 0.9  # clear corner, solid middle
    for picture, icon in zip(from_nothing.on_white(x), icons):
        on_white = gallery.on_background("white", 16)[icon.position] * 255
        assert abs(torch.tensor(list(picture.getdata())).float().view(16, 16, 3) - torch.tensor(on_white)).max() < 4


def test_the_nearest_is_found():
    data = torch.randn(5, 4, 4, 4, generator=seeded())
    apart, place = from_nothing.nearest(data[[3, 1]] + 0.1, data)
    assert place.tolist() == [3, 1]
    torch.testing.assert_close(apart, torch.tensor([0.1, 0.1]), rtol=1e-3, atol=1e-3)


SMALL, POINTS, LEVELS_OF_NOISE = from_nothing.PlaneNet(), torch.zeros(3, 2), torch.linspace(0.999, 0.005, 1000)


@pytest.mark.parametrize(
    "call, said",
    [
        (lambda: SMALL(POINTS, "x"), "level='x'"),
        (lambda: SMALL(POINTS, 500), "divide a timestep by 1000"),
        (lambda: SMALL(POINTS, float("nan")), "between 0"),
        (lambda: from_nothing.denoising_loss(SMALL, "x", LEVELS_OF_NOISE, torch.Generator()), "x0 must be"),
        (lambda: from_nothing.denoising_loss(SMALL, POINTS[:0], LEVELS_OF_NOISE, torch.Generator()), "x0 must be"),
        (lambda: from_nothing.denoising_loss(SMALL, POINTS, LEVELS_OF_NOISE, 3), "generator must be"),
        (lambda: from_nothing.sample(SMALL, [1, 2], LEVELS_OF_NOISE, 3), "noise must be"),
        (lambda: from_nothing.fit(SMALL, None, num_steps=1), "loss must be a function"),
        (lambda: from_nothing.nearest([1], POINTS), "drawn must be"),
        (lambda: PerfectDenoiser([1], LEVELS_OF_NOISE), "data must be"),
        (lambda: PerfectDenoiser(POINTS, 3), "alphas_cumprod must be"),
        (lambda: PerfectDenoiser(POINTS, LEVELS_OF_NOISE)(POINTS, 500), "level=500"),
        (lambda: PerfectDenoiser(POINTS, LEVELS_OF_NOISE)(POINTS[:, :1], 0.5), "differ"),
        (lambda: perfect_noise(POINTS, 1.0, POINTS), "alpha=1"),
        (lambda: perfect_noise([1], 0.5, POINTS), "noisy must be"),
        (lambda: from_nothing.nearest(POINTS, POINTS[:0]), "data must be"),
    ],
)
def test_nonsense_is_answered_with_a_sentence(call, said):
    with pytest.raises(ValueError, match=said):
        call()


def test_the_skip_and_every_part_take_part():
    net = TinyUNet(width=16)
    net(torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(0)), 0.5).square().mean().backward()
    by_half = net.join.weight.grad.abs().sum(dim=(0, 2, 3)).chunk(2)  # of what came up, and of what was kept
    assert all((half > 0).all() for half in by_half)
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


def test_waves_are_sines_of_half_a_turn_and_more():
    assert_close = torch.testing.assert_close
    level = torch.tensor([0.0, 0.25, 1.0])
    turns = torch.tensor([torch.pi * 2 ** (k / 2) for k in range(8)])
    assert_close(from_nothing.waves(level), torch.cat([(level[:, None] * turns).sin(), (level[:, None] * turns).cos()], dim=1))


def test_a_block_leaves_its_input_beside_what_it_adds():
    block, x = from_nothing.Block(16, 64), torch.randn(1, 16, 4, 4)
    torch.nn.init.zeros_(block.conv2.weight), torch.nn.init.zeros_(block.conv2.bias)
    assert torch.equal(block(x, torch.zeros(1, 64)), x)
