"""The checks of notebook 10's exercises: what is right is told so, and what is wrong gets a hint that fits."""

import pytest
import torch

from sd_helpers import embed_prompt, encode_embeddings, token_embeddings
from sd_helpers.checks import OPEN
from sd_helpers.exercises import surgery as check
from sd_helpers.metrics import picture_tower


def said(capsys, exercise, *answer) -> str:
    exercise(*answer)
    return capsys.readouterr().out.strip()


EXERCISES = [check.exercise_1, check.exercise_2, check.exercise_3, check.exercise_4]


@pytest.mark.parametrize("exercise", EXERCISES)
def test_open_answers(capsys, exercise):
    assert said(capsys, exercise, lambda *given: ...) == OPEN
    assert said(capsys, exercise, ...) == OPEN


@pytest.mark.parametrize("exercise", EXERCISES)
@pytest.mark.parametrize("value", [None, "seven", [], {}])
def test_useless_answers(capsys, exercise, value):
    assert said(capsys, exercise, lambda *given: value).startswith("Not yet.")


def replaced(embeds, mask, row):
    return torch.where(mask[..., None], row, embeds)


def test_replace_token(capsys):
    def told(replace):
        return said(capsys, check.exercise_1, replace)

    def in_place(embeds, ids, old_id, row):
        embeds[ids == old_id] = row
        return embeds

    def only_one(embeds, ids, old_id, row, which=0):
        out, places = embeds.clone(), (ids == old_id).nonzero().tolist()
        if places:
            n, at = places[which]
            out[n, at] = row
        return out

    def first_of_each(embeds, ids, old_id, row):
        mask = ids == old_id
        return replaced(embeds, mask & (mask.cumsum(dim=1) == 1), row)

    assert told(lambda embeds, ids, old_id, row: replaced(embeds, ids == old_id, row)).startswith("Right.")
    assert "work on a copy" in told(in_place)
    assert "Only the first" in told(only_one)
    assert "Only the last" in told(lambda *given: only_one(*given, which=-1))
    assert "only the first is replaced; do them all" in told(first_of_each)
    assert "The other way round" in told(lambda embeds, ids, old_id, row: replaced(embeds, ids != old_id, row))
    assert "Nothing is replaced" in told(lambda embeds, ids, old_id, row: embeds)
    assert "Nothing is replaced" in told(lambda embeds, ids, old_id, row: replaced(embeds, ids == 7, row))
    assert "Every position" in told(lambda embeds, ids, old_id, row: row.expand_as(embeds))
    assert "shape" in told(lambda embeds, ids, old_id, row: embeds[0])
    assert "not the right one" in told(lambda embeds, ids, old_id, row: embeds + 1)
    assert "IndexError" in told(lambda embeds, ids, old_id, row: embeds[200])


def meeting(amounts, first, second, last=False, mirrored=False):
    gaps = [a - b for a, b in zip(first, second)]
    found = [i for i in range(len(gaps) - 1) if gaps[i] > 0 >= gaps[i + 1]]
    i = found[-1 if last else 0]
    share = gaps[i] / (gaps[i] - gaps[i + 1])
    share = 1 - share if mirrored else share
    return i, share, amounts[i] + share * (amounts[i + 1] - amounts[i])


def test_crossing(capsys):
    def told(crossing):
        return said(capsys, check.exercise_2, crossing)

    assert told(lambda *given: meeting(*given)[2]).startswith("Right.")
    assert told(lambda *given: torch.tensor(meeting(*given)[2])).startswith("Right.")
    assert "first grid point after" in told(lambda amounts, *lines: amounts[meeting(amounts, *lines)[0] + 1])
    assert "last grid point before" in told(lambda amounts, *lines: amounts[meeting(amounts, *lines)[0]])
    assert "halfway" in told(lambda amounts, *lines: sum(amounts[meeting(amounts, *lines)[0] :][:2]) / 2)
    assert "an index" in told(lambda *given: meeting(*given)[0])
    assert "swapped" in told(lambda *given: meeting(*given, mirrored=True)[2])
    assert "share of the way" in told(lambda *given: meeting(*given)[1])
    assert "last crossing" in told(lambda *given: meeting(*given, last=True)[2])
    assert "It should be" in told(lambda *given: 0.123)
    assert "ZeroDivisionError" in told(lambda *given: 1 / 0)


def test_weigh(capsys):
    tokenizer, text_encoder = picture_tower().tokenizer, picture_tower().text_encoder

    def told(weigh):
        def given_the_encoder(prompt, word, weight, its_tokenizer, its_encoder):
            assert its_tokenizer is tokenizer and its_encoder is text_encoder
            return weigh(prompt, word, weight)

        return said(capsys, check.exercise_3, given_the_encoder)

    def holding(prompt, word):
        ids = tokenizer(prompt, padding="max_length", max_length=77, return_tensors="pt").input_ids
        return torch.isin(ids, torch.tensor(tokenizer(word).input_ids[1:-1]))[..., None]  # (1, 77, 1)

    def embed(prompt):
        return embed_prompt(prompt, tokenizer, text_encoder)

    def rows(prompt):
        return token_embeddings(prompt, tokenizer, text_encoder)

    def away(prompt, mask, weight):
        without = encode_embeddings(rows(prompt).masked_fill(mask, 0), text_encoder)
        return without + weight * (embed(prompt) - without)

    def right(prompt, word, weight):
        return away(prompt, holding(prompt, word), weight)

    def one_place(prompt, word, weight):
        mask = holding(prompt, word)
        return away(prompt, mask & (mask.cumsum(dim=1) == 1), weight)

    def first_piece(prompt, word, weight):
        ids = tokenizer(prompt, padding="max_length", max_length=77, return_tensors="pt").input_ids
        return away(prompt, (ids == tokenizer(word).input_ids[1])[..., None], weight)

    def out_of_the_sentence(prompt, word, weight):
        shorter = embed(" ".join(prompt.replace(word, "").split()))
        return shorter + weight * (embed(prompt) - shorter)

    def factors(prompt, word, weight):
        return torch.where(holding(prompt, word), weight, 1.0)

    assert told(right).startswith("Right.")
    assert "from the other end" in told(lambda prompt, word, weight: right(prompt, word, 1 - weight))
    assert "scales the word's row" in told(lambda p, word, w: encode_embeddings(rows(p) * factors(p, word, w), text_encoder))
    assert "of the word alone" in told(lambda p, word, w: embed(p) * factors(p, word, w))
    assert "taken out of the sentence" in told(out_of_the_sentence)
    assert "only one position" in told(one_place)
    assert "only the word's first token" in told(first_piece)
    assert "all 77 rows" in told(lambda p, word, w: away(p, torch.ones(1, 77, 1, dtype=torch.bool), w))
    assert "the difference alone" in told(lambda p, word, w: w * (embed(p) - right(p, word, 0)))
    assert "once too often" in told(lambda p, word, w: right(p, word, 1 + w))
    assert "is the weight used" in told(lambda p, word, w: embed(p))
    assert "not the right ones" in told(lambda p, word, w: right(p, word, w) + 1)
    assert "shape" in told(lambda p, word, w: embed(p)[0])


def test_amount_of(capsys):
    components = picture_tower()

    def told(amount_of):
        return said(capsys, check.exercise_4, lambda *given: amount_of(*given[:3]))

    def search(finished, first, second):
        rows = token_embeddings([first, second], components.tokenizer, components.text_encoder)
        amounts = torch.linspace(0, 1, 101)
        mixed = [encode_embeddings((1 - a) * rows[:1] + a * rows[1:], components.text_encoder) for a in amounts]
        return amounts[torch.stack([(m - finished).norm() for m in mixed]).argmin()]

    def straight(finished, first, second):
        start, end = embed_prompt([first, second], components.tokenizer, components.text_encoder).split(1)
        return ((finished - start) * (end - start)).sum() / (end - start).square().sum()

    def spoiling(finished, first, second):
        found = search(finished, first, second)
        finished += 1
        return found

    assert told(search).startswith("Right.")
    assert told(lambda *given: float(search(*given))).startswith("Right.")
    assert "does not go straight" in told(straight)
    assert "share of the first" in told(lambda *given: 1 - search(*given))
    assert "between 0 and 1" in told(lambda *given: 100 * search(*given))
    assert "has changed the embeddings" in told(spoiling)
    assert "It should be 0.30" in told(lambda *given: 0.5)


def test_the_reference_leaves_the_encoder_as_it_was(capsys):
    components = picture_tower()
    before = embed_prompt("a puppy", components.tokenizer, components.text_encoder)
    said(capsys, check.exercise_3, lambda *given: before)
    said(capsys, check.exercise_4, lambda *given: 0.3)
    assert torch.equal(embed_prompt("a puppy", components.tokenizer, components.text_encoder), before)
