"""The training code on small things: captions, what is held out, exact resume, the folded latent scale."""

import json
import random
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from sd_helpers import gallery
from training import growing, render
from training.autoencoder import build, draw_pictures, fold_latent_statistics
from training.captions import Captioner, with_article
from training.clip import Pairs, end_positions
from training.data import BACKGROUND_NAMES, COLOURS, HeldOut, Icons, choose_held_out, concept_set
from training.fit import fit, learning_rate
from training.presets import PRESETS, Stage


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A work folder as `render` leaves it, of a few concepts, made from the gallery."""
    folder = tmp_path_factory.mktemp("work")
    chosen = [icon for icon in gallery.icons() if icon.concept in ("fox", "pizza", "rocket", "dog-face", "astronaut")]
    sheet = Image.new("RGBA", (render.COLUMNS * render.ICON_SIZE, render.ICON_SIZE))
    for i, icon in enumerate(chosen):
        drawn = gallery._large(icon.position) or gallery._thumbnail(icon.position)  # with their transparency
        sheet.paste(drawn.resize((render.ICON_SIZE,) * 2), (i * render.ICON_SIZE, 0))
    sheet.save(folder / "icons.webp", lossless=True)
    records = [{k: getattr(icon, k) for k in ("concept", "style", "label", "tags", "group")} for icon in chosen]
    (folder / "icons.json").write_text(json.dumps(records))
    return folder


@pytest.fixture(scope="module")
def icons(work):
    return Icons(work, 64)


@pytest.fixture
def held_out(tmp_path):
    path = tmp_path / "held_out.json"
    path.write_text(json.dumps({"icons": [["fox", "noto"]], "combinations": [["pizza", "flat", "white"]]}))
    return HeldOut(path)


def test_slugs_are_iconify_names():
    assert render.slug("cat face") == "cat-face"
    assert render.slug("piñata") == "pinata"
    assert render.slug("man’s shoe") == "mans-shoe"


def test_held_out_things_are_never_drawn(icons, held_out):
    pairs = Pairs(icons, held_out)
    index, background, captions = pairs.draw(5000, random.Random(0), empty=0.1)
    drawn = {
        (icons.names[i]["concept"], icons.names[i]["style"], BACKGROUND_NAMES[b]) for i, b in zip(index, background, strict=True)
    }
    assert not any(d[:2] == ("fox", "noto") for d in drawn) and ("pizza", "flat", "white") not in drawn
    assert {d[0] for d in drawn} == {"fox", "pizza", "rocket", "dog-face", "astronaut"}
    assert 0.08 < captions.count("") / 5000 < 0.12
    assert {n["concept"] for n in [icons.names[i] for i in icons.indices(held_out, unseen=True)]} == {"fox"}


def test_families_stand_side_by_side_and_are_named(icons, held_out):
    pairs = Pairs(icons, held_out)
    index, background, captions = pairs.draw(400, random.Random(2), families=1.0)
    names = [icons.names[i] for i in index]
    assert len(index) == len(background) == len(captions) == 400
    assert all(n["style"] in caption.replace(",", " ").split() for n, caption in zip(names, captions, strict=True))
    assert ("fox", "noto") not in {(n["concept"], n["style"]) for n in names}
    fox = next(k for k, n in enumerate(names) if n["concept"] == "fox")
    assert {n["style"] for n in names[fox : fox + 3]} == set(gallery.STYLES) - {"noto"} and len(
        set(background[fox : fox + 3])
    ) == 1


def test_further_training_draws_what_is_new_twice_as_often(icons, held_out, monkeypatch, tmp_path):
    (tmp_path / "concepts.json").write_text(json.dumps(["fox", "pizza", "rocket", "dog-face"]))
    monkeypatch.setattr("training.clip.EMBEDDED_FOLDER", tmp_path)
    index, _, _ = Pairs(icons, held_out, further=True).draw(6000, random.Random(3))
    drawn = [icons.names[i]["concept"] for i in index]
    assert drawn.count("astronaut") / drawn.count("rocket") == pytest.approx(2, abs=0.2)
    assert ("fox", "noto") not in {(icons.names[i]["concept"], icons.names[i]["style"]) for i in index}


def test_further_training_starts_from_the_package():
    from sd_helpers.metrics import picture_tower
    from training.clip import packaged

    tower, clip = picture_tower(), packaged()
    picture = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    ids = tower.tokenizer(["a puppy", "a glossy fox"], padding="max_length", max_length=77, return_tensors="pt").input_ids
    end = (ids == tower.tokenizer.eos_token_id).int().argmax(dim=-1)
    with torch.no_grad():
        seen = clip.visual_projection(clip.vision_model(pixel_values=picture).pooler_output)
        read = clip.text_projection(clip.text_model(input_ids=ids).last_hidden_state[torch.arange(2), end])
        assert_close(torch.nn.functional.normalize(seen, dim=-1), tower.embed_pictures(picture))
        assert_close(torch.nn.functional.normalize(read, dim=-1), tower.embed_prompts(["a puppy", "a glossy fox"]))


def test_the_denoiser_goes_on_from_the_package_and_the_picture_half_is_fitted_to_its_words(work):
    from safetensors.torch import load_file
    from transformers import CLIPModel, CLIPTokenizer

    from sd_helpers import load
    from sd_helpers.models import EMBEDDED_FOLDER
    from training import autoencoder, denoiser, reading, sheets
    from training.trials import Trial

    CLIPTokenizer.from_pretrained(EMBEDDED_FOLDER / "tokenizer").save_pretrained(work / "tokenizer")
    stage = Stage(steps=1, batch=6, lr=1e-7, warmup=1)
    preset = replace(PRESETS["further"], concepts=(), variants=1, scenes=4, precision="no", denoiser=stage, reading=stage)
    for each in (autoencoder, denoiser, reading):
        each.train(preset, work, "cpu")
    assert (work / "denoiser-further" / "step-0000001").is_dir() and not (work / "denoiser").exists()
    assert (work / "denoiser-further-curve" / "0000001.safetensors").exists()
    trained, packed = load_file(work / "unet" / "diffusion_pytorch_model.safetensors"), load("emoji-sd").unet.state_dict()
    assert trained.keys() == packed.keys()
    moved = max(float((trained[name] - packed[name].cpu()).abs().max()) for name in packed)
    assert 0 < moved < 1e-5
    drawing, read = (CLIPModel.from_pretrained(work / name).state_dict() for name in ("clip-drawing", "clip-read"))
    changed = {name.partition(".")[0] for name in read if not torch.equal(read[name], drawing[name])}
    assert changed == {"vision_model", "visual_projection", "text_projection"}  # a step this small is lost in the logit scale
    start = load("emoji-sd").text_encoder.state_dict()
    known = start["embeddings.token_embedding.weight"].any(dim=1)
    words = read["text_model.embeddings.token_embedding.weight"]
    assert 0 < float((words - start["embeddings.token_embedding.weight"])[known].abs().max()) < 1e-5
    assert words[~known].std() == pytest.approx(float(words[known].std()), rel=0.02)  # words that nobody has read begin somewhere
    trials = [Trial("fox", "fox", "red")]
    assert sheets.learning_curve(load("emoji-sd", dtype=torch.float32), work / "denoiser-further-curve", trials, 1.0)[0] == [1]


def test_captions_say_what_is_there_or_nothing(icons, held_out):
    index, background, captions = Pairs(icons, held_out).draw(2000, random.Random(1))
    for i, b, caption in zip(index, background, captions, strict=True):
        named = [colour for colour in BACKGROUND_NAMES if f"{colour} background" in caption or caption.endswith(f" on {colour}")]
        assert named in ([], [BACKGROUND_NAMES[b]]), caption
        for style in gallery.STYLES:
            assert style not in caption.split() or style == icons.names[i]["style"], caption


def test_a_concepts_own_word_is_never_anothers_tag(icons):
    captioner = Captioner(icons.names)
    assert not {"dog", "puppy", "rocket"} & set(captioner.tags["astronaut"] + captioner.tags["dog-face"])
    assert with_article("apple") == "an apple" and with_article("rocket") == "a rocket"


def test_the_lists_in_the_repository_fit_together():
    first, chosen, lists = concept_set(PRESETS["cpu"].concepts), concept_set(PRESETS["further"].concepts), HeldOut()
    everything = {icon.concept for icon in gallery.icons()}
    assert chosen[: len(first)] == first and concept_set(PRESETS["gpu"].concepts) is None
    assert len(chosen) == len(set(chosen)) > 2 * len(first) > 220 and set(chosen) <= everything
    assert len({i for i in lists.icons if i[0] in first}) == 12 and len({i for i in lists.icons if i[0] in chosen}) == 50
    assert len(lists.icons) > 200 and len(lists.combinations) > 450
    assert all(c in chosen and s in gallery.STYLES and b in BACKGROUND_NAMES for c, s, b in lists.combinations)
    records = [{"concept": icon.concept, "style": icon.style} for icon in gallery.icons()]
    again = choose_held_out(records, first, added=chosen[len(first) :])
    assert {tuple(i) for i in again["icons"]} == lists.icons and {tuple(c) for c in again["combinations"]} == lists.combinations


def test_compose_and_shift(icons):
    blue = COLOURS[[BACKGROUND_NAMES.index("blue")]]
    plain = icons.compose(torch.tensor([0]), blue)
    assert plain.shape == (1, 3, 64, 64) and plain.abs().max() <= 1
    moved = icons.compose(torch.tensor([0]), blue, shift=torch.tensor([[3, -2]]))
    assert_close(moved[..., :-2, 3:], plain[..., 2:, :-3])  # right by 3, up by 2
    assert_close(moved[0, :, -1, 0], blue[0])
    mirrored = icons.compose(torch.tensor([0]), blue, mirror=torch.tensor([True]))
    assert_close(mirrored, plain.flip(-1))


def test_pictures_depend_on_the_generator_alone(icons):
    pool = torch.arange(len(icons))
    one, two = (draw_pictures(icons, pool, 4, torch.Generator().manual_seed(5)) for _ in range(2))
    assert_close(one, two)


def test_text_is_read_at_its_end():
    assert end_positions(torch.tensor([[49406, 5, 6, 49407, 49407], [49406, 49407, 49407, 49407, 49407]])).tolist() == [3, 1]


def test_learning_rate_warms_up_and_falls():
    stage = Stage(steps=1000, batch=1, lr=1.0, warmup=100)
    rates = [learning_rate(stage, step) for step in range(1000)]
    assert rates[0] == pytest.approx(0.01) and max(rates) == pytest.approx(1.0, abs=1e-3)
    assert rates.index(max(rates)) in (99, 100) and rates[-1] == pytest.approx(0.01, abs=1e-3)


def test_a_killed_run_ends_with_the_weights_of_an_unbroken_one(tmp_path, capsys):
    from diffusers.training_utils import EMAModel

    stage = Stage(steps=12, batch=4, lr=0.1, warmup=2)

    def run(folder, die_at=None):
        torch.manual_seed(0)
        module = torch.nn.Linear(3, 1)
        ema = EMAModel(module.parameters(), decay=0.9)
        steps = []

        def loss_of(module, count, generator, done):
            steps.append(1)
            if len(steps) == die_at:
                raise KeyboardInterrupt
            return module(torch.randn(count, 3, generator=generator)).square().mean()

        trained = fit(module, loss_of, stage, folder, ema=ema, save_minutes=0, report=1)
        return trained.weight.detach().clone(), [p.clone() for p in ema.shadow_params], len(steps)

    whole, whole_ema, _ = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "broken", die_at=7)
    resumed, resumed_ema, steps = run(tmp_path / "broken")
    assert steps == 12 - 6
    assert torch.equal(whole, resumed)
    for a, b in zip(whole_ema, resumed_ema, strict=True):
        assert torch.equal(a, b)
    assert len(list((tmp_path / "broken").glob("step-*"))) == 1
    assert "going on at step 6 of 12" in capsys.readouterr().out


def test_folding_gives_unit_variance_and_the_same_pictures():
    from diffusers import AutoencoderKL

    torch.manual_seed(0)
    vae = AutoencoderKL(block_out_channels=(8, 8), norm_num_groups=4, layers_per_block=1, latent_channels=4,
                        down_block_types=["DownEncoderBlock2D"] * 2, up_block_types=["UpDecoderBlock2D"] * 2)  # fmt: skip
    vae.requires_grad_(False)
    pictures = torch.rand(16, 3, 16, 16) * 2 - 1
    before = vae.encode(pictures).latent_dist
    decoded, relative_spread = vae.decode(before.mean).sample, before.std / before.mean.std(dim=(0, 2, 3), keepdim=True)
    fold_latent_statistics(vae, [pictures[:8], pictures[8:]])
    after = vae.encode(pictures).latent_dist
    scaled = after.mean * 0.18215
    assert_close(scaled.std(dim=(0, 2, 3)), torch.ones(4), atol=1e-3, rtol=0)
    assert_close(scaled.mean(dim=(0, 2, 3)), torch.zeros(4), atol=1e-3, rtol=0)
    assert_close(vae.decode(after.mean).sample, decoded, atol=1e-4, rtol=1e-3)
    assert_close(after.std / after.mean.std(dim=(0, 2, 3), keepdim=True), relative_spread, atol=1e-4, rtol=1e-3)


def test_trials_are_what_they_are_called(icons, held_out):
    from training.trials import combination_trials, icon_trials, label_trials

    def triples(unseen):
        return {(t.concept, t.style, t.background) for t in combination_trials(icons, held_out, 9999, 0, unseen)}

    assert triples(True) == {("pizza", "flat", "white")} and len(triples(False)) == 19 * 11 - 1
    assert not triples(True) & triples(False)
    assert {(t.concept, t.style) for t in icon_trials(icons, held_out)} == {("fox", "noto")}
    labels = label_trials(icons, 10, seed=0)
    assert len({t.concept for t in labels[:5]}) == 5 and labels == label_trials(icons, 10, seed=0)
    assert all(t.prompt == f"{with_article(t.label)} on {with_article(t.background)} background" for t in labels)


def test_a_shared_tag_counts_for_all_its_owners(icons):
    from training.trials import tag_trials

    trials = {t.label: t for t in tag_trials(icons, 9999, seed=0)}
    tags = Captioner(icons.names).tags
    assert set(trials) == {tag for own in tags.values() for tag in own}
    for tag, trial in trials.items():
        assert {c for c in tags if trial.right(c)} == {c for c in tags if tag in tags[c]}
        assert with_article(tag) in trial.prompt


def test_pairs_of_prompts_differ_in_the_word_they_should(icons, held_out):
    from training.trials import combination_trials, one_word_changed

    pairs = one_word_changed(combination_trials(icons, held_out, 30, 0, unseen=False), seed=0)
    parts = {"thing": lambda t: t.concept, "style": lambda t: t.style, "background": lambda t: t.background}
    for word in parts:
        assert len(pairs[word]) == 30
        for before, after in pairs[word]:
            assert [name for name, part in parts.items() if part(before) != part(after)] == [word]


def test_scores_know_right_from_wrong():
    from training.evaluate import border_change, both_right, score
    from training.trials import Trial

    icon = {i.style: i for i in gallery.find("fox")}
    trials = [Trial("fox", "fox", "blue", "noto"), Trial("fox", "fox", "blue", "flat")]
    right = [icon[t.style].picture(t.background, size=64) for t in trials]
    row = score(right, trials)
    assert row["top1"] == row["top5"] == row["background"] == row["style"] == row["both"] == 1
    row = score(right[::-1], trials)
    assert row["top1"] == 1 and row["style"] == row["both"] == 0
    pizza = gallery.find("pizza", "flat")[0].picture("red", size=64)
    row = score([right[0], pizza], trials)
    assert row["top1"] == row["background"] == row["both"] == 0.5
    assert both_right([right[0], pizza], trials, "noto") == 1 and both_right([right[0], pizza], trials, "flat") == 0
    assert border_change(right[0], right[0]) == 0 and border_change(right[0], pizza) > 30


def test_the_worst_failure_comes_first(tmp_path):
    from training.sheets import failures
    from training.trials import Trial

    trials = [Trial("fox", "fox", "white", "noto"), Trial("pizza", "pizza", "white", "flat")]
    fox = gallery.find("fox", "noto")[0].picture(size=64)
    titles = [axes.get_title() for axes in failures([fox, fox], trials, count=2).axes]
    assert (
        titles[0].startswith("a flat pizza")
        and titles[1].startswith("a noto fox")
        and titles[2] == titles[3] == "nearest: noto fox"
    )


def test_a_learning_curve_is_left_on_the_way(tmp_path):
    steps = []
    stage = Stage(steps=20, batch=2, lr=0.1, warmup=2)
    fit(torch.nn.Linear(3, 1), lambda m, n, g, _: m(torch.randn(n, 3, generator=g)).square().mean(), stage, tmp_path / "run",
        report=20, snapshot=steps.append)  # fmt: skip
    assert steps == list(range(2, 21, 2))


def test_a_run_may_end_before_its_learning_rate_does(tmp_path):
    steps = []
    stage = Stage(steps=24, stop=10, batch=2, lr=0.1, warmup=2)

    def loss_of(module, count, generator, done):
        steps.append(done)
        return module(torch.randn(count, 3, generator=generator)).square().mean()

    fit(torch.nn.Linear(3, 1), loss_of, stage, tmp_path / "run", report=5)
    assert steps == [step / 24 for step in range(10)] and (tmp_path / "run" / "step-0000010").is_dir()
    assert learning_rate(stage, 10) == learning_rate(Stage(steps=24, batch=2, lr=0.1, warmup=2), 10)


def test_an_autoencoder_grows_around_a_small_one(work, icons, capsys):
    from diffusers import AutoencoderKL

    preset = replace(PRESETS["cpu"], size=32, vae_channels=(8, 8, 16), precision="no", growing=Stage(40, 4, 5e-3, warmup=5))
    torch.manual_seed(0)
    small = build((8, 16), 16)
    small.save_pretrained(work / "vae-small")
    first = growing.grown(small, preset)
    for old, new in (
        (small.encoder.down_blocks[1], first.encoder.down_blocks[2]),
        (small.decoder.up_blocks[1].resnets[1], first.decoder.up_blocks[1].resnets[1]),
        (small.quant_conv, first.quant_conv),
    ):
        assert all(torch.equal(a, b) for a, b in zip(old.state_dict().values(), new.state_dict().values(), strict=True))

    growing.train(preset, work, "cpu")
    pictures = draw_pictures(Icons(work, 32), torch.arange(len(icons)), 16, torch.Generator().manual_seed(9))
    with torch.no_grad():
        latents = small.encode(torch.nn.functional.avg_pool2d(pictures, 2)).latent_dist.mean
        errors = {}
        for name, vae in {"first": first, "last": AutoencoderKL.from_pretrained(work / "vae")}.items():
            found = vae.encode(pictures).latent_dist.mean
            assert found.shape == latents.shape == (16, 4, 8, 8)
            drawn = vae.decode(latents).sample
            assert drawn.shape == pictures.shape
            errors[name] = (found - latents).square().mean().item(), (drawn - pictures).square().mean().item()
    assert errors["last"][0] < 0.5 * errors["first"][0] and errors["last"][1] < 0.7 * errors["first"][1]

    growing.train(replace(preset, growing=None), work, "cpu")
    assert "nothing to do" in capsys.readouterr().out


def test_presets_build_the_sizes_they_promise():
    from training import denoiser

    for name in ("cpu", "further", "gpu"):
        preset = PRESETS[name]
        assert (preset.factor, preset.size) == (8, 128)
        with torch.device("meta"):
            vae, unet = build(preset.vae_channels, preset.size), denoiser.build(preset)
        assert vae.config.latent_channels == 4 and unet.config.sample_size == 16
        assert sum(p.numel() for p in unet.parameters()) == pytest.approx(8.8e6, rel=0.01)


def test_every_noise_level_counts_about_the_same():
    from training.denoiser import NoisePrediction, Step, level_weights

    assert level_weights(torch.tensor([0.5, 0.1, 0.01, 1.0])).tolist() == pytest.approx([1, 3, 6, 0.5])

    class Says(torch.nn.Module):
        """Answers everything with zeros, so that the error is the noise itself."""

        def forward(self, *args, **kwargs):
            answer = torch.zeros(2, 4, 8, 8)
            return SimpleNamespace(sample=answer, last_hidden_state=answer)

    timesteps, noise = torch.tensor([999, 0]), torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    module = NoisePrediction(Says(), Says())
    high, low = level_weights(module.alphas_cumprod[timesteps])
    squares = noise.square().mean(dim=(1, 2, 3))
    assert_close(module(Step(noise, noise, timesteps, None)), (high * squares[0] + low * squares[1]) / 2)
    assert high == 6 and low == 0.5


def test_scenes_that_belong_together_get_one_noise_and_one_level():
    from training.denoiser import shared

    values = torch.arange(7.0)
    assert shared(values, 3).tolist() == [0, 1, 2, 3, 3, 5, 5] and shared(values, 0).tolist() == [0, 0, 2, 2, 4, 4, 6]
    assert shared(values, 2).tolist() == [0, 1, 2, 2, 4, 4, 6] and values.tolist() == list(range(7))


def test_scenes_with_places_are_noisier():
    from training.denoiser import draw_timesteps

    alone, places = (draw_timesteps(2000, torch.Generator().manual_seed(0), places).float() for places in (False, True))
    assert places.mean() > alone.mean() + 100 and places.min() < 100 and places.max() <= 999
