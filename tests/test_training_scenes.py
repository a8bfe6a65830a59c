"""Scenes for training: what captions say is what is drawn, and what evaluation finds in a picture is what is there."""

import contextlib
import copy
import json
import random
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from test_training import held_out, icons, work  # noqa: F401  fixtures
from torch.testing import assert_close
from transformers import CLIPTokenizer

from sd_helpers import gallery
from sd_helpers.autoencoder import tensor_to_pil
from sd_helpers.metrics import letterboxed
from sd_helpers.models import EMBEDDED_FOLDER
from training import behaviours, pool
from training.clip import Pairs
from training.data import BACKGROUND_NAMES
from training.denoiser import EMPTY_CAPTIONS, FALSE_CAPTIONS, LOOKING, Batches, NoisePrediction, Step, loosened, mix_at
from training.looking import half_of, looks_of, place_of
from training.scenes import NUMBERS, SHARES, Said, Scene, Scenes, Thing, plural_of
from training.teacher import SOFTENED, Teacher, Truth
from training.trials import Trial


@pytest.fixture
def scenes(icons, held_out):
    return Scenes(icons, held_out)


def drawn(scenes, wide, count=600):
    rng = random.Random(0)
    return [scenes.draw(rng, wide) for _ in range(count)]


def picture_of(scene, icons):
    (picture,) = tensor_to_pil(pool.compose([scene], icons.rgba, 64))
    return picture


def named(icons, concept, style="glossy"):
    return icons.by_concept[concept][style]


@pytest.mark.parametrize("wide", [False, True])
def test_all_kinds_are_drawn_in_their_shares_and_nothing_held_out(scenes, wide):
    found = drawn(scenes, wide)
    kinds = Counter(scene.kind for scene in found)
    assert all(abs(kinds[kind] / len(found) - share) < 0.07 for kind, share in SHARES[wide].items()) and set(kinds) == set(
        SHARES[wide]
    )
    shown = {(n["concept"], n["style"], s.background) for s in found for n in [scenes.icons.names[t.icon] for t in s.things]}
    assert not any(seen[:2] == ("fox", "noto") for seen in shown) and ("pizza", "flat", "white") not in shown
    width = 2 if wide else 1
    for scene in found:
        assert all(0 < thing.x < width and 0 < thing.y < 1 and thing.colour != scene.background for thing in scene.things)


def test_captions_of_pairs_say_the_sides_as_they_are(scenes):
    rng, sides = random.Random(1), 0
    for scene in drawn(scenes, wide=True):
        if scene.kind != "pair":
            continue
        records = [scenes.icons.names[thing.icon] for thing in scene.things]
        if len({record["concept"] for record in records}) < 2:
            continue
        said = scenes.caption(replace(scene, things=tuple(replace(thing, colour=None) for thing in scene.things)), rng)
        places = [max(said.find(word) for word in scenes_words(scenes, record)) for record in records]
        assert min(places) >= 0, said
        if "to the left of" in said or "on the left and" in said or said.startswith("on the left"):
            assert places[0] < places[1], said
            sides += 1
        elif "to the right of" in said or "on the right and" in said:
            assert places[0] > places[1], said
            sides += 1
        else:
            assert "left" not in said and "right" not in said
    assert sides > 100


def scenes_words(scenes, record):
    from training.captions import SYNONYMS

    return [record["label"], *SYNONYMS.get(record["concept"], [])]


def test_captions_count_colour_and_place(scenes, icons):
    rng, fox = random.Random(2), named(icons, "fox")
    three = Scene("several", tuple(Thing(fox, x, 0.5, 0.3) for x in (0.2, 0.5, 0.8)), "blue")
    blue = Scene("coloured", (Thing(fox, colour="blue"),), "white")
    corner = Scene("placed", (Thing(fox, 0.2, 0.8, 0.3),), "white", size=("small",))
    for _ in range(50):
        assert scenes.caption(three, rng).split()[0] == "three" and "foxes" in scenes.caption(three, rng)
        assert "blue fox" in scenes.caption(blue, rng)
        said = scenes.caption(corner, rng)
        assert "top" not in said and "right" not in said
    assert any("in the bottom left corner" in scenes.caption(corner, rng) for _ in range(50))
    assert any("small fox" in scenes.caption(corner, rng) for _ in range(50))


def test_captions_know_where_they_name_what(scenes):
    rng = random.Random(3)
    for scene in drawn(scenes, wide=False) + drawn(scenes, wide=True):
        said = scenes.said(scene, rng)
        for begin, end, things in said.names:
            noun = said.text[begin:end]
            record, colour = scenes.icons.names[things[0].icon], things[0].colour
            words = scenes_words(scenes, record)
            tails = [tail for word in words for tail in (word, plural_of(word), word.partition(" ")[2] or word)]
            assert not noun.startswith(("a ", "an ")) and any(tail in noun for tail in tails) and (colour or "") in noun, said
        assert sorted(t.x for *_, things in said.names for t in things) == sorted(t.x for t in scene.things)


def test_words_look_at_what_they_name(scenes, icons):
    tokenizer = CLIPTokenizer.from_pretrained(EMBEDDED_FOLDER / "tokenizer")
    things = Thing(named(icons, "fox"), 0.5), Thing(named(icons, "rocket"), 1.5)
    form = "{a} on the left and {b} at the right end"
    said = Said.of(form, a=("a red fox", things[:1]), b=("a rocket", things[1:]))
    encoded = tokenizer([said.text, said.text], return_tensors="pt")
    looks = looks_of([Said(said.text), said], tokenizer, 4, 8)
    words = [tokenizer.convert_ids_to_tokens(int(encoded.input_ids[1, at])) for at in looks.tokens]
    assert words == ["red</w>", "fox</w>", "rocket</w>", "left</w>", "right</w>"] and set(looks.rows.tolist()) == {1}
    left = torch.zeros(4, 8)
    left[:, :4] = 1
    for place, wanted in zip(looks.places, (left, left, 1 - left, left, 1 - left)):
        assert torch.equal(place, wanted)
    maps = torch.full((2 * 3, 8, encoded.input_ids.shape[1]), 0.1)  # of a level half as fine, three heads
    assert float(looks.missed([maps], batch=2)) == pytest.approx(0.25)
    maps[3:, [0, 1, 4, 5], 3] = 0  # the fox no longer looks at its half at all
    assert float(looks.missed([maps], batch=2)) == pytest.approx((4 * 0.25 + 1) / 5)
    assert looks_of([Said("a fox on the left")], tokenizer, 4, 8) is None
    corner = half_of("top", 4, 4) * place_of((Thing(0, 0.25, 0.25, 0.5), Thing(0, 0.75, 0.75, 0.5)), 4, 4)
    assert corner.tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0] * 4, [0] * 4]


def test_the_loss_counts_where_words_look_and_what_the_teacher_says(components, monkeypatch):
    unet, text_encoder = copy.deepcopy(components.unet), components.text_encoder
    module = NoisePrediction(unet, text_encoder, Teacher(unet, text_encoder))
    encoded = components.tokenizer(["a fox", ""], padding="max_length", return_tensors="pt")
    latents, noise = (torch.randn(1, 4, 16, 32, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    said = Said.of("{a}", a=("a fox", (Thing(0, 0.5),)))
    step = Step(latents, noise, torch.tensor([500]), encoded.input_ids[:1])
    with torch.no_grad():
        plain = module(step)
        looks = looks_of([said], components.tokenizer, 16, 32)
        looked = module(replace(step, looks=looks))
        assert len(module.watched.maps) == 7 and module.watched.maps[0].shape[1:] == (
            512,
            77,
        )  # of this call, not of the last too
        assert_close(looked - plain, LOOKING * looks.missed(module.watched.maps, 1))
        # A pupil who is told what the teacher is told, and predicts what it does, has nothing to learn.
        monkeypatch.setattr("training.teacher.SOFTENED", 1.0)
        square = replace(step, latents=latents[..., :16], noise=noise[..., :16])
        assert float(module(square)) > 0.01
        assert float(module(replace(square, truth=Truth([0], [0], encoded.input_ids)))) < 1e-6


def test_a_teacher_is_told_what_each_square_shows(components):
    teacher = Teacher(components.unet, components.text_encoder)
    noisy, noise = (torch.randn(2, 4, 16, 32, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    ids = components.tokenizer(["a fox", ""], padding="max_length", return_tensors="pt").input_ids
    timesteps = torch.tensor([100, 700])
    target = teacher.target(noisy, noise, timesteps, Truth([1], [1], ids))
    assert torch.equal(target[0], noise[0]) and torch.equal(target[1, :, :, :16], noise[1, :, :, :16])
    with torch.no_grad():
        states = components.text_encoder(input_ids=ids).last_hidden_state
        told, without = (components.unet(noisy[1:, :, :, 16:], 700, state[None]).sample[0] for state in states)
    assert_close(target[1, :, :, 16:], without + SOFTENED * (told - without), rtol=1e-3, atol=1e-4)


def test_plurals():
    words = {
        "fox": "foxes",
        "cherry": "cherries",
        "snowman": "snowmen",
        "glass of milk": "glasses of milk",
        "key": "keys",
        "glasses": "glasses",
    }
    assert {word: plural_of(word) for word in words} == words and set(NUMBERS) == {2, 3, 4}


def test_things_stand_where_the_scene_says(icons):
    fox, pizza = named(icons, "fox"), named(icons, "pizza")
    scene = Scene("pair", (Thing(fox, 0.5, 0.5, 0.9), Thing(pizza, 1.5, 0.5, 0.9)), "blue", wide=True)
    picture = picture_of(scene, icons)
    assert picture.size == (128, 64)
    found = [behaviours.concepts_in(picture, half, 1) for half in behaviours.halves(behaviours.thing_mask(picture))]
    assert found == [["fox"], ["pizza"]]
    swapped = picture_of(scene.exchanged, icons)
    found = [behaviours.concepts_in(swapped, half, 1) for half in behaviours.halves(behaviours.thing_mask(swapped))]
    assert found == [["pizza"], ["fox"]]
    small = picture_of(Scene("placed", (Thing(fox, 0.25, 0.75, 0.4),), "yellow"), icons)
    rows, columns = np.nonzero(behaviours.thing_mask(small))
    assert abs(columns.mean() / 64 - 0.25) < 0.05 and abs(rows.mean() / 64 - 0.75) < 0.05
    assert behaviours.concepts_in(small, count=3)[0] == "fox"  # size and place do not count against it


def test_what_hangs_over_the_edge_is_cut(icons):
    scene = Scene("placed", (Thing(named(icons, "fox"), 0.0, 1.0, 0.9),), "white")
    pixels = np.asarray(picture_of(scene, icons))
    assert (pixels[:32, 32:] == 255).all() and (pixels[40:, :24] != 255).any()


@pytest.mark.parametrize("colour", ["red", "green", "blue", "purple", "yellow"])
def test_recoloured_things_have_the_colour(icons, colour):
    for concept in ("fox", "rocket", "pizza"):
        picture = picture_of(Scene("coloured", (Thing(named(icons, concept), colour=colour),), "white"), icons)
        assert behaviours.colour_of(picture, behaviours.thing_mask(picture)) == colour
    assert torch.equal(pool.recoloured(icons.rgba[0].float() / 255, colour)[3], icons.rgba[0][3].float() / 255)


def test_a_pool_holds_scenes_beside_their_exchanged(scenes, components, tmp_path):
    made = pool.Pool(scenes, components.vae, 40, True, tmp_path)
    pairs = [(a, b) for a, b in zip(made.scenes[::2], made.scenes[1::2]) if a.kind == "pair"]
    assert pairs and all(b == a.exchanged for a, b in pairs)
    assert made.latents.shape == (40, 4, 8, 16) and made.small.shape == (40, 3, 32, 32)
    assert abs(float(made.latents.float().std()) - 1) < 0.3
    index, captions = made.draw(10, random.Random(0))
    assert len(captions) == 10 and (index[1::2] == index[::2] + 1).all()
    again = pool.Pool(scenes, None, 40, True, tmp_path)  # nothing is encoded a second time
    assert torch.equal(again.latents, made.latents) and again.scenes == made.scenes


def test_many_cores_draw_the_same(scenes, icons, monkeypatch):
    some = drawn(scenes, False, 40)
    alone = torch.cat(list(pool.composed(some, icons.rgba, 64)))
    monkeypatch.setattr(pool.os, "cpu_count", lambda: 4)
    assert torch.equal(torch.cat(list(pool.composed(some, icons.rgba, 64))), alone)


def test_wide_pictures_are_seen_whole():
    picture = torch.zeros(1, 3, 64, 128)
    picture[..., 64:] = 1
    seen = letterboxed(picture, 32)
    assert seen.shape == (1, 3, 32, 32) and float(seen[..., :8, :].abs().max()) == 0 and float(seen[0, 0, 16, 31]) == 1


def test_some_captions_are_empty_and_some_anothers():
    captions = [Said(f"caption {i}", ((0, 7, ()),)) for i in range(20)] * 200
    changed = loosened(captions, random.Random(0))
    assert changed.count(Said("")) / len(captions) == pytest.approx(EMPTY_CAPTIONS, abs=0.02)
    others = sum(new.text not in ("", old.text) for new, old in zip(changed, captions))
    assert all(new == old or not new.names for new, old in zip(changed, captions))  # what is false says nothing of places
    assert others / len(captions) == pytest.approx(FALSE_CAPTIONS * 19 / 20, abs=0.02)


def test_the_typed_prompts_name_what_the_model_knows():
    from sd_helpers.models import EMBEDDED_FOLDER

    known = set(json.loads((EMBEDDED_FOLDER / "concepts.json").read_text()))
    assert len(behaviours.TYPED) == len({trial["prompt"] for trial in behaviours.TYPED}) == 100
    assert all(known >= set(thing) and thing for trial in behaviours.TYPED for thing in trial["things"])


def test_typed_prompts_are_right_or_wrong(icons):
    fox, pizza = named(icons, "fox"), named(icons, "pizza")
    both = picture_of(Scene("pair", (Thing(fox, 0.26, 0.5, 0.5), Thing(pizza, 0.74, 0.5, 0.5)), "blue"), icons)
    two = picture_of(Scene("several", (Thing(fox, 0.26, 0.5, 0.45), Thing(fox, 0.74, 0.5, 0.45)), "blue"), icons)
    for prompt, things, picture, right in (
        ("a fox and a pizza", [["fox"], ["pizza"]], both, True),
        ("a pizza and a fox", [["pizza"], ["fox"]], both, True),
        ("a fox and a rocket", [["fox"], ["rocket"]], both, False),
        ("two foxes", [["fox"]], two, True),
        ("two pizzas", [["pizza"]], two, False),
        ("a fox", [["fox"]], Image.new("RGB", (64, 64), "white"), False),
    ):
        assert behaviours.typed_right(picture, {"prompt": prompt, "things": things}, 1) == right, prompt


def test_specks_are_counted_and_edges_are_not():
    plain = gallery.find("fox", "glossy")[0].picture("blue", 128)
    burnt = np.array(plain)
    places = np.random.default_rng(0).integers(0, 128, (2, 400))
    burnt[places[0], places[1]] = (255, 0, 255)
    assert behaviours.specks(plain) < 0.01 < behaviours.specks(Image.fromarray(burnt)) < 0.05


def test_trials_of_two_things(icons):
    trials = behaviours.pair_trials(icons, 20, seed=0)
    assert len(trials) == 20 and trials == behaviours.pair_trials(icons, 20, seed=0)
    assert all(t["things"][0] != t["things"][1] and t["ground"] in BACKGROUND_NAMES for t in trials)
    for trial in behaviours.colour_trials(icons, 20, seed=0):
        assert all(colour in trial["prompt"] for colour in trial["colours"]) and len(set(trial["colours"])) == 2


def test_attention_in_the_half_of_its_thing_is_counted(icons, components, monkeypatch):
    trial = behaviours.pair_trials(icons, 1, 0, "{a} and {b}")[0]
    noun = trial["prompt"][: trial["prompt"].index(" and ")]
    tokens = len(components.tokenizer(noun).input_ids) - 1  # after the start token, "a" and the noun

    def probabilities(attn, hidden_states, encoder_hidden_states):
        """The first noun is read on the left alone, everything else everywhere."""
        probs = torch.full((1, 1, hidden_states.shape[1], 77), 0.01)
        side = round((hidden_states.shape[1] / 2) ** 0.5)
        probs.unflatten(2, (side, 2 * side))[:, :, :, side:, 2:tokens] = 0
        return probs

    monkeypatch.setattr("sd_helpers.beyond.probes.attention_probabilities", probabilities)
    first, second = behaviours.mass_in_own_half(components, icons, trial)
    assert first > 0.9 and second == pytest.approx(0.5, abs=0.01)
    answers = iter([[0.7, 0.7], [0.7, 0.7], [0.7, 0.7], [0.7, 0.6]])  # of two scenes, each with its nouns in both orders
    monkeypatch.setattr(behaviours, "mass_in_own_half", lambda *_: next(answers))
    assert behaviours.nouns_look(components, icons, 2) == 0.5


def test_variety_is_the_distance_between_what_shows_the_thing(monkeypatch):
    fox, other = (gallery.find("fox", style)[0].picture("blue", 128) for style in ("noto", "twemoji"))
    plain = Image.new("RGB", (128, 128), "blue")
    trial = Trial("fox", "fox", "blue")
    answers = iter([[fox, fox], [fox, other], [fox, fox, plain]])
    monkeypatch.setattr(behaviours, "generate", lambda components, prompts, **_: next(answers))
    same, different, with_another = (behaviours.variety(None, [trial]) for _ in range(3))
    assert same == 0 and different > 0.05 and with_another == 0  # what does not show the thing does not count


def test_single_things_are_joined_to_wide_scenes_and_exchanged(scenes, icons, held_out):
    batches = Batches.__new__(Batches)
    batches.pairs, batches.wide, batches.variants = Pairs(icons, held_out), SimpleNamespace(describe=scenes), 1
    batches.latents = torch.arange(len(icons), dtype=torch.float32)[:, None, None, None, None, None].expand(-1, 11, 1, 4, 2, 2)
    batches.grounds = torch.full((11, 4, 2, 2), -1.0)
    latents, captions, truths = batches.joined(200, random.Random(0), pairs=0.55)
    assert latents.shape == (400, 4, 2, 4) and len(captions) == 400
    assert torch.equal(latents[1::2], torch.cat([latents[::2, ..., 2:], latents[::2, ..., :2]], dim=-1))
    left, right = latents[:, 0, 0, 0], latents[:, 0, 0, 3]
    alone = (left < 0) | (right < 0)
    assert 0.35 < alone.float().mean() < 0.55 and not ((left < 0) & (right < 0)).any() and not (left == right).any()
    for said, is_alone, bare in zip(captions, alone, left < 0):
        if is_alone and ("left" in said.text or "right" in said.text):
            assert ("on the right" in said.text) == bool(bare), said
    for row, half, caption in truths:
        style, label = (icons.names[int((left, right)[half][row])][part] for part in ("style", "label"))
        assert f"{style} {label} on a" in caption
    assert len(truths) == 800 - int(alone.sum())


def test_most_steps_are_for_sides_at_first():
    """In the first third nearly half of the steps show two halves put together, and no scenes; later a quarter and an eighth."""

    class Drawn(Batches):
        def __init__(self):
            self.said = []

        def joined(self, couples, rng, pairs):
            self.said.append("joined")
            raise StopIteration

        def pooled(self, count, rng):
            self.said.append("pooled")
            raise StopIteration

    shares = []
    for mix in (mix_at(0.3), mix_at(0.4)):
        batches = Drawn()
        for seed in range(400):
            with contextlib.suppress(StopIteration, AttributeError):  # the latter for a square step, which needs pictures
                batches.draw(16, torch.Generator().manual_seed(seed), mix)
        shares.append([batches.said.count(kind) / 400 for kind in ("joined", "pooled")])
    assert shares[0] == pytest.approx([0.45, 0], abs=0.05) and shares[1] == pytest.approx([0.247, 0.133], abs=0.05)


def test_a_colour_that_is_named_does_not_count_against_the_thing(icons):
    wanted = {"prompt": "a blue fox on a white background", "things": [["fox"]]}
    scene = Scene("coloured", (Thing(named(icons, "fox"), colour="blue"),), "white")
    (picture,) = tensor_to_pil(pool.compose([scene], icons.rgba, 64))
    assert behaviours.named_colours(wanted) == ["blue"]
    assert behaviours.typed_right(picture, wanted, 1) and not behaviours.typed_right(
        picture, wanted | {"things": [["rocket"]]}, 5
    )
    assert not behaviours.typed_right(picture, wanted | {"prompt": "a fox"}, 1)  # where none is named, its own counts
    two = {"prompt": "a red apple and a green pear on a blue background", "things": [["red-apple"], ["pear"]]}
    assert behaviours.named_colours(two) == ["red", "green"]
    assert behaviours.named_colours({"prompt": "a fox with a yellow bus", "things": [["fox"], ["bus"]]}) == [None, "yellow"]


def test_painted_icons_keep_their_outline():
    (white, black), blue = (gallery.on_background(name, 16) for name in ("white", "black")), behaviours.painted("blue", "white")
    assert blue.shape == white.shape and blue.min() >= 0 and blue.max() <= 1
    ground = (white == 1).all(axis=-1) & (np.abs(black - black[0, 0, 0]) < 1e-3).all(axis=-1)
    assert np.abs(blue[ground] - 1).max() < 0.02
    assert (blue[~ground][:, 2] >= blue[~ground][:, 0] - 0.02).mean() > 0.99
