"""Tokens, embeddings, and words that the model does not know."""

import warnings

import pytest
import torch
from torch.testing import assert_close

from sd_helpers import embed_prompt, known_and_unknown, unknown_words
from sd_helpers.text import lost_words


def test_published_token_ids(components, published):
    tokenizer = components.tokenizer
    assert tokenizer(published["prompt"]).input_ids == published["input_ids"]
    for prompt, ids in published["other_prompts"].items():
        assert tokenizer(prompt).input_ids == ids
    for number, token in published["tokens"].items():
        assert tokenizer.convert_ids_to_tokens(int(number)) == token
    assert len(tokenizer) == published["vocab_size"]
    assert tokenizer.model_max_length == published["max_length"]


def test_embeds_as_diffusers_does(components):
    prompts = ["A picture of a puppy", ""]
    ours = embed_prompt(prompts, components.tokenizer, components.text_encoder)
    theirs, _ = components.pipeline().encode_prompt(prompts, "cpu", 1, False)
    assert ours.shape == (2, 77, components.unet.config.cross_attention_dim)
    assert_close(ours, theirs)
    assert not torch.allclose(ours[0], ours[1])


def test_a_word_changes_only_what_comes_after_it(components):
    puppy, skunk = embed_prompt(["a picture of a puppy", "a picture of a skunk"], components.tokenizer, components.text_encoder)
    difference = (puppy - skunk).abs().amax(dim=-1)
    assert difference[:5].max() < 1e-5 and difference[5:].min() > 1e-3


def test_what_is_too_long_is_lost_with_a_warning(components):
    prompt = "puppy " * 75 + "campfire rocket"
    with pytest.warns(UserWarning, match="campfire rocket"):
        embeds = embed_prompt(prompt, components.tokenizer, components.text_encoder)
    assert embeds.shape[1] == 77
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        embed_prompt("puppy " * 75, components.tokenizer, components.text_encoder)
    assert lost_words("puppy " * 75, components.tokenizer) == ""


@pytest.mark.parametrize("prompt", [[], None, 7, ["a", 3], {"a": 1}, b"a"])
def test_bad_prompts(components, prompt):
    with pytest.raises(ValueError, match="prompt="):
        embed_prompt(prompt, components.tokenizer, components.text_encoder)


def test_unknown_words(components):
    def unknown(prompt):
        return unknown_words(prompt, components.tokenizer, components.text_encoder)

    assert unknown("A picture of a puppy, glossy style, on a blue background!") == ["!"]
    assert unknown("a zygomorphic spreadsheet of a skunk") == ["zygomorphic", "spreadsheet"]
    assert unknown("") == []


def test_words_of_several_tokens_stay_whole(components):
    pairs = known_and_unknown("an antidisestablishmentarianism puppy", components.tokenizer, components.text_encoder)
    assert [word for word, _ in pairs] == ["an", "antidisestablishmentarianism", "puppy"]
    assert [known for _, known in pairs] == [True, False, True]


def test_odd_prompts_embed(components):
    for prompt in ("", " ", "🐶", "犬", "\n", "<|endoftext|>", "a" * 500):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert embed_prompt(prompt, components.tokenizer, components.text_encoder).isfinite().all()
