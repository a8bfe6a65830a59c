"""The comparison of text bites: numbers may differ in their last digits, nothing else may."""

import pytest
from nbcompared.text import text_difference

SAME_TEXT = {
    "last digits": ("loss 0.5012, 22.8 dB", "loss 0.5034, 22.9 dB"),
    "a mean of nothing": ("mean 0.0003", "mean -0.0004"),
    "rounding errors": ("apart by 3e-07", "apart by 8.1e-07"),
    "rounding error and none": ("apart by 0", "apart by 2.4e-07"),
    "a sign makes room": ("[[ 0.0002, 1.25]]", "[[-0.0003, 1.25]]"),
    "the last place flips": ("0.12", "0.13"),
}
OTHER_TEXT = {
    "a word": ("a cat", "a dog"),
    "one word among numbers": ("cat 0.50", "dog 0.50"),
    "a number": ("loss 0.50", "loss 0.53"),
    "a sign": ("mean 0.25", "mean -0.25"),
    "a mistake, not rounding": ("apart by 3e-07", "apart by 3e-03"),
    "a shape": ("torch.Size([1, 4, 16, 16])", "torch.Size([1, 4, 16, 17])"),
    "a count, at the end of a sentence": ("They are 77.", "They are 78."),
    "whole floats": ("tensor([1., 2.])", "tensor([1., 3.])"),
    "a long id": ("id 9007199254740993", "id 9007199254740992"),
    "a version": ("torch 2.13.0", "torch 2.13.1"),
    "a name": ("conv2", "conv3"),
    "not a number": ("loss 0.50", "loss nan"),
    "a line less": ("a\nb", "a"),
    "a line more": ("a", "a\nb"),
}


@pytest.mark.parametrize("stored, fresh", SAME_TEXT.values(), ids=SAME_TEXT)
def test_numbers_within_the_tolerance_pass(stored, fresh):
    assert text_difference(stored, fresh) is None


@pytest.mark.parametrize("stored, fresh", OTHER_TEXT.values(), ids=OTHER_TEXT)
def test_other_text_and_numbers_fail(stored, fresh):
    assert text_difference(stored, fresh)


def test_an_address_fails_even_if_it_is_the_same():
    assert "a memory address was printed" in text_difference("<A object at 0x7f31c2>", "<A object at 0x7f31c2>")


def test_the_message_names_line_and_numbers():
    found = text_difference("first\nloss 0.50", "first\nloss 0.60")
    assert found.startswith("line 2: 0.50 was stored, 0.60 now; allowed are 0.022 between them\n  stored: loss 0.50\n")
