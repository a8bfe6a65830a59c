"""Tokens, embeddings, and words that the model does not know."""

import copy
import warnings

import pytest
import torch
from torch.testing import assert_close

from sd_helpers import embed_prompt, encode_embeddings, known_and_unknown, token_embeddings, unknown_words
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


def test_a_word_is_unknown_if_any_of_its_tokens_is(components):
    encoder, tokenizer = copy.deepcopy(components.text_encoder), components.tokenizer
    first, second = tokenizer.convert_tokens_to_ids(tokenizer.tokenize("starfruit"))
    table = encoder.get_input_embeddings().weight.data
    for rows in ((0, 0), (0, 1), (1, 0), (1, 1)):
        table[first], table[second] = map(float, rows)
        assert unknown_words("starfruit", tokenizer, encoder) == ([] if all(rows) else ["starfruit"])


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


def test_an_added_word_stands_alone(components):
    from sd_helpers.beyond.learned import LearnedWord, with_word

    width = components.text_encoder.config.hidden_size
    taught = with_word(components, LearnedWord("<my-cat>", torch.ones(1, width)))
    pairs = known_and_unknown("a <my-cat> zygomorphic puppy and <my-cat>", taught.tokenizer, taught.text_encoder)
    known = {word: known for word, known in pairs}
    assert [word for word, _ in pairs] == ["a", "<my-cat>", "zygomorphic", "puppy", "and", "<my-cat>"]
    assert known["<my-cat>"] and known["puppy"] and not known["zygomorphic"]


def test_odd_prompts_embed(components):
    for prompt in ("", " ", "🐶", "犬", "\n", "<|endoftext|>", "a" * 500):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert embed_prompt(prompt, components.tokenizer, components.text_encoder).isfinite().all()


def test_token_embeddings_are_rows_of_the_table(components, published):
    table = components.text_encoder.get_input_embeddings().weight
    rows = token_embeddings([published["prompt"], ""], components.tokenizer, components.text_encoder)
    assert rows.shape == (2, 77, table.shape[1])
    ids = published["input_ids"]
    assert torch.equal(rows[0, : len(ids)], table[ids])
    assert torch.equal(rows[1, 0], table[49406]) and torch.equal(rows[1, 1:], table[49407].expand(76, -1))


def test_token_embeddings_are_a_copy(components):
    table = components.text_encoder.get_input_embeddings().weight
    before = table.clone()
    rows = token_embeddings("a puppy", components.tokenizer, components.text_encoder)
    rows += 1
    assert torch.equal(table, before) and not rows.requires_grad


def test_token_embeddings_warn_and_refuse_as_embed_prompt_does(components):
    with pytest.warns(UserWarning, match="rocket") as caught:
        token_embeddings("puppy " * 75 + "rocket", components.tokenizer, components.text_encoder)
    assert caught[0].filename == __file__  # the caller's line is named
    with pytest.raises(ValueError, match="prompt="):
        token_embeddings(7, components.tokenizer, components.text_encoder)


def test_unedited_embeddings_encode_as_the_prompt_does(components):
    prompts = ["A picture of a puppy", "", "a red apple on a blue background"]
    rows = token_embeddings(prompts, components.tokenizer, components.text_encoder)
    expected = embed_prompt(prompts, components.tokenizer, components.text_encoder)
    assert_close(encode_embeddings(rows, components.text_encoder), expected)
    assert_close(encode_embeddings(rows[:, :9], components.text_encoder), expected[:, :9])  # causal: a part is enough


def test_a_word_is_its_row(components):
    tokenizer, text_encoder = components.tokenizer, components.text_encoder
    rows = token_embeddings("A picture of a puppy", tokenizer, text_encoder)
    rows[0, 5] = text_encoder.get_input_embeddings().weight[42194]
    assert_close(encode_embeddings(rows, text_encoder), embed_prompt("A picture of a skunk", tokenizer, text_encoder))


def test_encode_embeddings_leaves_no_hook_behind(components):
    tokenizer, text_encoder = components.tokenizer, components.text_encoder
    before = embed_prompt("a puppy", tokenizer, text_encoder)
    encode_embeddings(torch.zeros(1, 77, text_encoder.config.hidden_size), text_encoder)
    assert torch.equal(embed_prompt("a puppy", tokenizer, text_encoder), before)
    fails = text_encoder.register_forward_pre_hook(lambda module, given: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        encode_embeddings(torch.zeros(1, 77, text_encoder.config.hidden_size), text_encoder)
    fails.remove()
    assert torch.equal(embed_prompt("a puppy", tokenizer, text_encoder), before)


def test_gradients_flow_to_the_rows_that_count(components):
    rows = token_embeddings("a puppy", components.tokenizer, components.text_encoder).requires_grad_()
    encode_embeddings(rows, components.text_encoder)[0, 2].sum().backward()
    size = rows.grad[0].norm(dim=-1)
    assert size[:3].min() > 0 and size[3:].max() == 0  # position 2 sees what stands before it and itself


@pytest.mark.parametrize("shape", [(77, 128), (1, 78, 128), (1, 77, 64), (1, 0, 128), ()])
def test_encode_embeddings_refuses_other_shapes(components, shape):
    with pytest.raises(ValueError, match="inputs_embeds of shape.*token_embeddings"):
        encode_embeddings(torch.zeros(shape), components.text_encoder)
    with pytest.raises(ValueError, match="inputs_embeds"):
        encode_embeddings("a puppy", components.text_encoder)
