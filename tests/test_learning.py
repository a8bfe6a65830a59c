"""Words learned from pictures, files of them, LoRA, and training that can be stopped."""

import asyncio
import copy
import time

import pytest
import torch
from diffusers.utils import logging as diffusers_logging
from safetensors.torch import load_file, save_file
from torch.testing import assert_close
from transformers.utils import logging as transformers_logging

from sd_helpers import LearnedWord, embed_prompt, embed_word, gallery, learn_lora, learn_word, load_word, save_word, with_word
from sd_helpers.beyond.learned import initial_row
from sd_helpers.beyond.learning import noise_loss
from sd_helpers.notebook.stepwise import Training, TrainingPanel

WORD = "<brownheart>"
GROUNDS = ("white", "blue", "yellow", "green")


@pytest.fixture(scope="module")
def pictures(components):
    icons = [icon for icon in gallery.icons() if icon.concept == "brown-heart"]
    return [icon.picture(ground, components.default_size[0]) for icon, ground in zip(icons, GROUNDS, strict=True)]


@pytest.fixture(scope="module")
def captions():
    return [f"a {style} {WORD} on a {ground} background" for style, ground in zip(gallery.STYLES, GROUNDS, strict=True)]


@pytest.fixture
def row(components):
    return 0.1 * torch.randn(1, components.text_encoder.config.hidden_size, generator=torch.Generator().manual_seed(0))


def test_a_row_of_the_table_embeds_as_its_own_word(components, captions):
    row = initial_row(components, "puppy")
    ours = embed_word([*captions, "no such word", WORD], WORD, row, components.tokenizer, components.text_encoder)
    prompts = [prompt.replace(WORD, "puppy") for prompt in [*captions, "no such word", WORD]]
    assert_close(ours, embed_prompt(prompts, components.tokenizer, components.text_encoder))


def test_diffusers_reads_what_is_saved_and_embeds_alike(components, captions, row, tmp_path):
    for rows in (row, torch.cat([row, -row, 2 * row])):
        learned = LearnedWord(WORD, rows)
        path = save_word(learned, tmp_path / "word.safetensors")
        assert list(load_file(path)) == [WORD]
        loaded = load_word(path)
        assert loaded.word == WORD and torch.equal(loaded.rows, rows)

        tokenizer, text_encoder = copy.deepcopy((components.tokenizer, components.text_encoder))
        pipe = components.pipeline()
        levels = [log.get_verbosity() for log in (diffusers_logging, transformers_logging)]
        [log.set_verbosity_error() for log in (diffusers_logging, transformers_logging)]
        pipe.load_textual_inversion(str(path), tokenizer=tokenizer, text_encoder=text_encoder)
        [log.set_verbosity(level) for log, level in zip((diffusers_logging, transformers_logging), levels, strict=True)]
        theirs = embed_prompt(pipe.maybe_convert_prompt(captions, tokenizer), tokenizer, text_encoder)

        written = [caption.replace(WORD, " ".join(learned.tokens)) for caption in captions]
        ours = with_word(components, learned)
        assert_close(embed_prompt(written, ours.tokenizer, ours.text_encoder), theirs)
        assert_close(embed_word(captions, WORD, rows, components.tokenizer, components.text_encoder), theirs)
    assert WORD not in components.tokenizer.get_vocab()


def test_learning_a_word_lowers_the_loss_and_changes_nothing_else(components, pictures, captions):
    before = [p.clone() for p in components.unet.parameters()]
    learned = learn_word(components, pictures, captions, WORD, num_steps=12, learning_rate=0.02)
    again = learn_word(components, pictures, captions, WORD, num_steps=12, learning_rate=0.02)
    assert_close(learned.rows, again.rows)
    assert len(learned.losses) == 12 and learned.rows.shape == (1, 128) and not learned.rows.requires_grad
    assert all(torch.equal(a, b) for a, b in zip(before, components.unet.parameters(), strict=True))
    assert all(p.grad is None and not p.requires_grad for p in components.text_encoder.parameters())

    from sd_helpers import pil_to_latent

    latents = torch.cat([pil_to_latent(p, components.vae) for p in pictures])

    @torch.no_grad()
    def loss(rows):
        embeds = embed_word(captions, WORD, rows, components.tokenizer, components.text_encoder)
        draw = torch.Generator().manual_seed(3)
        return noise_loss(components.unet, components.scheduler, latents, embeds, draw).item()

    assert loss(learned.rows) < loss(initial_row(components)) < 1


@pytest.mark.parametrize("how", ["returns True", "interrupt"])
def test_a_stop_keeps_what_was_learned(components, pictures, captions, how):
    def on_step(step, loss):
        if step == 1 and how == "interrupt":
            raise KeyboardInterrupt
        return step == 1

    learned = learn_word(components, pictures, captions, WORD, num_steps=50, batch_size=1, on_step=on_step)
    assert len(learned.losses) == 2 and not torch.equal(learned.rows, initial_row(components))


@pytest.mark.parametrize("how", ["to the end", "button", "stop between steps", "stop in a step"])
def test_a_panel_trains_while_the_cell_waits(capsys, how):
    panel, x = TrainingPanel(5 if how == "to the end" else 300), torch.zeros(1, requires_grad=True)

    def loss():
        time.sleep(0.01)
        if how == "stop in a step" and len(training.losses) == 7:
            raise KeyboardInterrupt
        return (x - 3).square().sum()

    async def cell():
        running = asyncio.ensure_future(panel.run(training))
        await asyncio.sleep(0.1)
        if how == "button":
            panel.button.click()
        if how == "stop between steps":
            running.cancel()  # what ipykernel does to a cell that waits
        return await running

    training = Training([x], loss, lambda losses: x.item(), learning_rate=0.1)
    assert asyncio.run(cell()) == x.item() > 0
    steps = len(training.losses)
    assert steps == 5 if how == "to the end" else 0 < steps < 300
    assert panel.bar.value == steps and f"step {steps}, loss" in panel.said.value


def test_training_finds_a_minimum():
    x = torch.zeros(1, requires_grad=True)
    training = Training([x], lambda: (x - 3).square().sum(), lambda losses: list(losses), learning_rate=0.1)
    assert training.run(0) == []
    losses = training.run(200)
    assert len(losses) == 200 and abs(x.item() - 3) < 0.05


def test_noise_loss_is_the_training_objective(components, embeds):
    latents = torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(0))

    def nothing(noisy, timesteps, context, return_dict):
        return (torch.zeros_like(noisy),)

    loss = noise_loss(nothing, components.scheduler, latents, embeds[0], torch.Generator().manual_seed(1))
    assert abs(loss.item() - 1) < 0.1  # the variance of the noise


def test_lora_changes_a_copy_and_can_be_turned_off(components, pictures, captions):
    words = [caption.replace(WORD, "brown heart") for caption in captions]
    names = dict(components.unet.named_parameters()).keys()
    tuned, losses = learn_lora(components, pictures, words, rank=2, num_steps=3, batch_size=2)
    assert len(losses) == 3 and dict(components.unet.named_parameters()).keys() == names
    draw = torch.Generator().manual_seed(0)
    latents = torch.randn(1, 4, 16, 16, generator=draw)
    context = embed_prompt(words[0], components.tokenizer, components.text_encoder)
    plain, changed = (unet(latents, 500, context).sample for unet in (components.unet, tuned.unet))
    assert not torch.allclose(plain, changed, atol=1e-4)
    tuned.unet.disable_adapters()
    assert_close(tuned.unet(latents, 500, context).sample, plain)


class Surprise:
    """What a malicious file would hold: a call."""

    def __reduce__(self):
        return print, ("code from a file",)


def test_published_files_load_without_running_code(tmp_path, row, capsys):
    torch.save({"<cat-toy>": row[0]}, tmp_path / "learned_embeds.bin")
    loaded = load_word(tmp_path / "learned_embeds.bin")
    assert loaded.word == "<cat-toy>" and torch.equal(loaded.rows, row)
    torch.save({"string_to_param": {"*": row}, "name": "toy", "step": 100}, tmp_path / "toy.pt")
    assert load_word(tmp_path / "toy.pt").word == "toy"
    save_file({"emb_params": row}, tmp_path / "style.safetensors")
    assert load_word(tmp_path / "style.safetensors").word == "<style>"
    assert load_word(tmp_path / "style.safetensors", word="<mine>").word == "<mine>"

    torch.save({"<cat-toy>": Surprise()}, tmp_path / "surprise.bin")
    with pytest.raises(ValueError, match="surprise.bin.*could be code"):
        load_word(tmp_path / "surprise.bin")
    assert capsys.readouterr().out == ""


def test_bad_files(tmp_path, row):
    (tmp_path / "text.bin").write_text("not a file of tensors")
    (tmp_path / "text.safetensors").write_text("not a file of tensors")
    save_file({"a": row, "b": row + 1}, tmp_path / "two.safetensors")
    save_file({"a": torch.zeros(2, 2, 2)}, tmp_path / "cube.safetensors")
    torch.save([row], tmp_path / "list.pt")
    for name in ("text.bin", "text.safetensors", "two.safetensors", "cube.safetensors", "list.pt", "missing.safetensors"):
        with pytest.raises(ValueError, match=f"path=.*{name}"):
            load_word(tmp_path / name)
    with pytest.raises(ValueError, match="must end in .safetensors"):
        save_word(LearnedWord(WORD, row), tmp_path / "word.bin")


def test_bad_arguments(components, pictures, captions, row):
    for word in ("puppy", "two words", "", None):
        with pytest.raises(ValueError, match="word="):
            learn_word(components, pictures, captions, word)
    with pytest.raises(ValueError, match="4 pictures but 3 prompts"):
        learn_word(components, pictures, captions[:3], WORD)
    with pytest.raises(ValueError, match="lacks the word"):
        learn_word(components, pictures, ["a fruit"] * 4, WORD)
    with pytest.raises(ValueError, match="initial_word="):
        learn_word(components, pictures, captions, WORD, initial_word="")
    with pytest.raises(ValueError, match="batch_size="):
        learn_word(components, pictures, captions, WORD, batch_size=0)
    for rows in (torch.zeros(1, 768), torch.zeros(128), torch.zeros(0, 128)):
        with pytest.raises(ValueError, match="rows of shape"):
            with_word(components, LearnedWord(WORD, rows))
        with pytest.raises(ValueError, match="rows of shape"):
            embed_word(WORD, WORD, rows, components.tokenizer, components.text_encoder)
    with pytest.raises(ValueError, match="vocabulary"):
        with_word(with_word(components, LearnedWord(WORD, row)), LearnedWord(WORD, row))


def test_half_precision_is_not_for_training(components, pictures, captions):
    half = copy.copy(components)
    half.dtype = torch.float16
    for learn in (lambda: learn_lora(half, pictures, captions), lambda: learn_word(half, pictures, captions, WORD)):
        with pytest.raises(ValueError, match="float16 cannot be trained.*dtype=torch.float32"):
            learn()
