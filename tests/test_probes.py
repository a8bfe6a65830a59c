"""Attention watched and kept: nothing is disturbed, everything is put back, and the maps are what the layers used."""

import pytest
import torch
from diffusers import EulerDiscreteScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch.testing import assert_close

from sd_helpers import AttentionMaps, generate, keep_attention, prompt_positions, scheduler_like, watch_attention
from sd_helpers.beyond.attention_maps import overlap, overlay
from sd_helpers.beyond.probes import attention_probabilities
from sd_helpers.components import Components
from sd_helpers.metrics import mean_difference

QUICK = dict(num_inference_steps=4, guidance_scale=5, progress=False)
PROMPT, OTHER = "a red heart on a white background", "a yellow heart on a white background"


@pytest.fixture(scope="module")
def euler(components) -> Components:
    """The embedded model with a scheduler that few steps suit."""
    parts = vars(components) | {"scheduler": scheduler_like(components.scheduler, EulerDiscreteScheduler)}
    return Components(**parts)


@pytest.fixture(scope="module")
def recorded(euler):
    """The maps of a run with the heads apart, and what it drew."""
    with watch_attention(euler.unet, heads=True) as maps:
        (picture,) = generate(euler, PROMPT, **QUICK)
    return maps, picture


def call(unet, embeds, rows=1):
    latents = starting_latents(unet, rows)
    return unet(latents, 500, embeds.expand(rows, -1, -1), return_dict=False)[0]


def starting_latents(unet, rows, height=16, width=16):
    return torch.randn(rows, unet.config.in_channels, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("guidance_scale", [5, 1])
@pytest.mark.parametrize("heads", [False, True])
def test_watching_changes_nothing(euler, guidance_scale, heads):
    settings = QUICK | dict(guidance_scale=guidance_scale, num_images=2)
    plain = generate(euler, PROMPT, **settings)
    with watch_attention(euler.unet, num_images=2, heads=heads) as maps:
        watched = generate(euler, PROMPT, **settings)
    assert max(map(mean_difference, plain, watched)) < 0.1  # OpenVINO drew the first; to the last bit: the next test
    assert len(maps.calls) == len(maps.timesteps) == 4 and maps.timesteps == sorted(maps.timesteps, reverse=True)


def test_output_is_equal_to_the_last_bit(components, embeds):
    plain = call(components.unet, embeds[0], 2)
    with watch_attention(components.unet) as maps:
        assert torch.equal(call(components.unet, embeds[0], 2), plain)
    with watch_attention(components.unet), watch_attention(components.unet):
        assert torch.equal(call(components.unet, embeds[0], 2), plain)
    assert len(maps.calls) == 1


@pytest.mark.parametrize("heads", [False, True])
def test_rows_sum_to_one(components, embeds, heads):
    with watch_attention(components.unet, num_images=2, heads=heads) as maps:
        call(components.unet, embeds[0], 3)
    assert len(maps.layers) == 7 and set(maps.layers.values()) == {(16, 16), (8, 8), (4, 4)}
    for probs in maps.calls[0].values():
        assert probs.shape[0] == 2 and probs.shape[-1] == 77 and probs.ndim == 4 + heads
        assert probs.dtype == torch.float16 and probs.device.type == "cpu" and not probs.requires_grad
        assert_close(probs.float().sum(dim=-1), torch.ones(probs.shape[:-1]), atol=2e-3, rtol=0)


def test_the_prompts_row_is_kept_with_guidance_and_without(components, embeds):
    prompt, empty = embeds
    with watch_attention(components.unet) as maps:
        call(components.unet, prompt)
        components.unet(starting_latents(components.unet, 1).expand(2, -1, -1, -1), 500, torch.cat([empty, prompt]))
        call(components.unet, empty)
    alone, guided, of_empty = maps.calls
    for name in maps.layers:
        assert_close(alone[name], guided[name], atol=1e-3, rtol=0)
        assert (alone[name] - of_empty[name]).abs().max() > 0.05


def test_the_probabilities_are_those_the_layer_used(components, embeds):
    """The output computed from them is the output, by the processor that writes them down and by the fused one."""
    attn = components.unet.mid_block.attentions[0].transformer_blocks[0].attn2
    hidden = torch.randn(2, 12, attn.to_q.in_features, generator=torch.Generator().manual_seed(0))
    context = embeds[0].expand(2, -1, -1)
    probs = attention_probabilities(attn, hidden, context)  # (2, heads, 12, 77)
    assert probs.shape == (2, attn.heads, 12, 77)
    value = attn.head_to_batch_dim(attn.to_v(context))
    by_hand = attn.to_out[0](attn.batch_to_head_dim(probs.flatten(0, 1) @ value))
    assert_close(by_hand, attn(hidden, context), atol=1e-4, rtol=1e-4)
    assert_close(by_hand, AttnProcessor()(attn, hidden, context), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("context", ["watch", "keep"])
def test_processors_are_restored_even_after_an_exception(components, embeds, recorded, context):
    unet, before = components.unet, dict(components.unet.attn_processors)
    manager = lambda: watch_attention(unet) if context == "watch" else keep_attention(unet, recorded[0])  # noqa: E731
    with manager():
        changed = {name for name, processor in unet.attn_processors.items() if processor is not before[name]}
    assert changed == {name for name in before if ".attn2." in name}
    assert all(unet.attn_processors[name] is processor for name, processor in before.items())
    with pytest.raises(ZeroDivisionError), manager():
        call(unet, embeds[0])
        raise ZeroDivisionError
    assert all(unet.attn_processors[name] is processor for name, processor in before.items())
    with watch_attention(unet) as maps:
        pass
    call(unet, embeds[0])
    assert maps.calls == [] and maps.layers == {}


def test_a_processor_of_ones_own_is_wrapped_and_given_back(components, embeds):
    unet, before = components.unet, dict(components.unet.attn_processors)
    mine = {name: AttnProcessor() for name in before}
    try:
        unet.set_attn_processor(dict(mine))
        plain = call(unet, embeds[0])
        with watch_attention(unet):
            assert torch.equal(call(unet, embeds[0]), plain)
        assert unet.attn_processors == mine
    finally:
        unet.set_attn_processor(dict(before))


def small_unet(head_count=8):
    """A U-Net with the layers of SD v1, in number and place, and few channels."""
    return UNet2DConditionModel(
        sample_size=64,
        block_out_channels=(32, 32, 32, 32),
        norm_num_groups=8,
        cross_attention_dim=16,
        attention_head_dim=head_count,
    ).requires_grad_(False)


def test_memory_is_bounded_with_the_layers_of_sd_v1():
    unet, context = small_unet(), torch.zeros(2, 77, 16)
    sample = starting_latents(unet, 1, 64, 64).expand(2, -1, -1, -1)
    per_step = {}
    for side, heads in ((32, False), (64, False), (16, True)):
        with watch_attention(unet, max_side=side, heads=heads) as maps:
            unet(sample, 500, context)
        per_step[side] = maps.nbytes
        assert max(max(size) for size in maps.layers.values()) == side
    layers = {64: 5, 32: 5, 16: 5, 8: 1}
    for side, factor in ((32, 1), (64, 1), (16, 8)):
        assert per_step[side] == factor * 2 * 77 * sum(n * s**2 for s, n in layers.items() if s <= side)
    megabytes = [round(50 * per_step[side] / 1e6) for side in (32, 64, 16)]
    assert megabytes == [50, 207, 83]  # as the docstring says


def test_pictures_that_are_not_square_and_odd_sizes(components, embeds):
    with watch_attention(components.unet) as maps:
        components.unet(starting_latents(components.unet, 1, 12, 20), 500, embeds[0])
    assert set(maps.layers.values()) == {(12, 20), (6, 10), (3, 5)}
    assert maps.heat(0).shape == (12, 20)


def test_heat_adds_positions_and_averages_the_rest(recorded):
    maps, _ = recorded
    everything = maps.heat(range(77))
    assert_close(everything, torch.ones(16, 16), atol=3e-3, rtol=0)
    assert_close(maps.heat([3, 4]), maps.heat(3) + maps.heat(4))
    assert_close(sum(maps.heat(3, steps=i) for i in range(4)) / 4, maps.heat(3))
    assert_close(maps.heat(3, steps=range(2)), (maps.heat(3, steps=0) + maps.heat(3, steps=1)) / 2)
    names, size = list(maps.layers), (64, 64)
    assert_close(sum(maps.heat(3, layers=n, size=size) for n in names) / len(names), maps.heat(3, size=size))
    small = names[[maps.layers[n] for n in names].index((8, 8))]
    assert_close(maps.heat(3, steps=1, layers=small, size=(8, 8)), maps.calls[1][small][0, ..., 3].float().mean(dim=0))


def test_averaged_heads_give_the_same_heat(euler, recorded):
    with watch_attention(euler.unet) as maps:
        generate(euler, PROMPT, **QUICK)
    assert_close(maps.heat([2, 3]), recorded[0].heat([2, 3]), atol=1e-3, rtol=0)
    assert 4 * maps.nbytes == recorded[0].nbytes


def test_keeping_its_own_maps_draws_the_same_picture(euler, recorded):
    maps, picture = recorded
    with keep_attention(euler.unet, maps):
        (same,) = generate(euler, PROMPT, **QUICK)
    assert mean_difference(same, picture) < 0.5


def test_kept_maps_change_another_prompt_only_in_their_steps(euler, recorded):
    (plain,) = generate(euler, OTHER, **QUICK)
    drawn = {}
    for steps in (None, range(2)):
        with keep_attention(euler.unet, recorded[0], steps=steps):
            (drawn[steps],) = generate(euler, OTHER, **QUICK)
    assert mean_difference(drawn[None], plain) > 0.5
    assert 0.1 < mean_difference(drawn[None], drawn[range(2)]) < 60
    assert mean_difference(drawn[None], recorded[1]) > 5  # other words: the heart is another colour


def test_only_the_prompts_rows_use_kept_maps(components, embeds):
    unet, sample = components.unet, starting_latents(components.unet, 1).expand(2, -1, -1, -1)
    both = torch.cat([embeds[1], embeds[0]])
    with watch_attention(unet, heads=True) as maps:
        plain = unet(sample, 500, both).sample
    even = maps.changed(lambda probs: torch.full_like(probs, 1 / 77))
    with keep_attention(unet, even):
        kept = unet(sample, 500, both).sample
    assert torch.equal(kept[0], plain[0]) and (kept[1] - plain[1]).abs().max() > 0.05
    assert_close(maps.heat(3), maps.changed(lambda probs: probs).heat(3))


def test_refusals_of_watching(components, embeds):
    for arguments in (dict(num_images=0), dict(num_images=1.5), dict(max_side=0)):
        (name,) = arguments
        with pytest.raises(ValueError, match=name), watch_attention(components.unet, **arguments):
            pass
    with pytest.raises(ValueError, match="num_images=3"), watch_attention(components.unet, num_images=3):
        call(components.unet, embeds[0], 2)


def test_refusals_of_keeping(components, embeds, recorded):
    unet, (maps, _) = components.unet, recorded
    with watch_attention(unet) as averaged:
        call(unet, embeds[0])
    for wrong in (AttentionMaps(), averaged):
        with pytest.raises(ValueError, match="heads=True"), keep_attention(unet, wrong):
            pass
    with pytest.raises(ValueError, match="steps=9"), keep_attention(unet, maps, steps=9):
        pass
    with pytest.raises(ValueError, match="as many steps"), keep_attention(unet, maps):
        for _ in range(5):
            call(unet, embeds[0])
    with pytest.raises(ValueError, match="do not fit"), keep_attention(unet, maps):
        unet(starting_latents(unet, 1, 8, 8), 500, embeds[0])


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (dict(positions=77), "positions=77"),
        (dict(positions=[]), "positions"),
        (dict(positions=3, steps=4), "steps=4"),
        (dict(positions=3, steps=[0, -1]), "steps"),
        (dict(positions=3, layers="attn1"), "layers='attn1'"),
        (dict(positions=3, image=1), "image=1"),
    ],
)
def test_refusals_of_heat(recorded, arguments, named):
    with pytest.raises(ValueError, match=named.replace("[", r"\[")):
        recorded[0].heat(**arguments)


def test_empty_maps_say_so():
    with pytest.raises(ValueError, match="watch_attention"):
        AttentionMaps().heat(3)


def test_positions_of_words(components):
    tokenizer = components.tokenizer
    found = prompt_positions("a puppy on a blue background", tokenizer)
    assert list(found) == ["<start>", "a", "puppy", "on", "a (2)", "blue", "background", "<end>", "<padding>"]
    assert sorted(sum(found.values(), [])) == list(range(77)) and found["blue"] == [5] and found["<end>"] == [7]
    assert list(prompt_positions("", tokenizer)) == ["<start>", "<end>", "<padding>"]
    several = prompt_positions("a zeppelin-shaped axolotl", tokenizer)
    ids = tokenizer("a zeppelin-shaped axolotl").input_ids
    assert [len(where) for where in several.values()][-1] == 77 - len(ids)
    assert max(len(several[label]) for label in several if not label.startswith("<")) > 1
    for label, where in several.items():
        if not label.startswith("<"):
            assert tokenizer.decode([ids[p] for p in where]).strip() == label


def test_positions_of_a_prompt_that_is_too_long(components):
    found = prompt_positions("apple " * 100, components.tokenizer)
    assert sorted(sum(found.values(), [])) == list(range(77)) and "<padding>" not in found
    assert found["<end>"] == [76] and found["apple (75)"] == [75]


def test_overlay_is_dark_where_low_and_yellow_where_high(picture):
    heat = torch.zeros(4, 4)
    heat[:, 2:] = 0.5
    laid = overlay(picture.convert("RGB"), heat)
    assert laid.size == picture.size and laid.mode == "RGB"
    left, right = laid.getpixel((2, 10)), laid.getpixel((laid.width - 3, 10))
    assert right[0] > left[0] and right[1] > left[1] and right[2] < left[2]
    assert overlay(picture, torch.full((4, 4), 0.3)).size == picture.size
    assert overlay(picture, heat, low=0, high=1).getpixel((laid.width - 3, 10)) != right


def test_overlap_is_intersection_over_union_of_equal_areas():
    heat = torch.arange(16.0).reshape(4, 4)
    assert overlap(heat, heat >= 12) == 1 and overlap(heat, heat < 4) == 0
    assert overlap(heat, (heat >= 10) & (heat < 14)) == pytest.approx(2 / 6)
    assert overlap(torch.zeros(4, 4), heat < 4) == 1  # ties by place
    for mask in (heat > 99, torch.ones(2, 2, dtype=torch.bool)):
        with pytest.raises(ValueError, match="mask"):
            overlap(heat, mask)


def test_an_added_word_has_positions_of_its_own(components):
    from sd_helpers.beyond.learned import LearnedWord, with_word

    taught = with_word(components, LearnedWord("<my-cat>", torch.ones(1, components.text_encoder.config.hidden_size)))
    found = prompt_positions("a <my-cat> puppy <my-cat>", taught.tokenizer)
    assert list(found) == ["<start>", "a", "<my-cat>", "puppy", "<my-cat> (2)", "<end>", "<padding>"]
    assert [positions[0] for positions in found.values()] == list(range(7))
