"""The embedded model draws what the prompt says. Bars lie well below what the model card reports, for other CPUs' sake."""

import pytest

from sd_helpers import gallery, generate
from sd_helpers.metrics import background_of, clip_score, nearest_concepts

DRAWING = dict(num_inference_steps=25, guidance_scale=5, progress=False, batch_size=12)
LABELS = {name: name.replace("-", " ") for name in ("red-apple", "pizza", "fox", "red-heart", "rocket", "panda", "sunflower",
                                                    "penguin", "strawberry", "ghost", "octopus", "banana")}  # fmt: skip
COLOURS = ["white", "blue", "yellow", "green", "purple", "black"] * 2


@pytest.fixture(scope="module")
def drawn(components):
    prompts = [f"a {label} on a {colour} background" for label, colour in zip(LABELS.values(), COLOURS, strict=True)]
    return prompts, generate(components, prompts, **DRAWING)


def test_concepts_are_recognised(drawn):
    found = [
        [m.icon.concept for m in nearest_concepts(picture, colour)] for picture, colour in zip(drawn[1], COLOURS, strict=True)
    ]
    hits = [concept for concept, nearest in zip(LABELS, found, strict=True) if concept in nearest]
    assert len(hits) >= 10, f"recognised only {hits}"


def test_backgrounds_are_right(drawn):
    found = [background_of(picture) for picture in drawn[1]]
    assert sum(a == b for a, b in zip(found, COLOURS, strict=True)) >= 10, found


def test_clip_prefers_the_right_prompt(drawn):
    prompts, pictures = drawn
    right = clip_score(pictures, prompts)
    wrong = clip_score(pictures, prompts[1:] + prompts[:1])
    assert sum(a > b for a, b in zip(right, wrong, strict=True)) >= 10


def test_seeds_vary_and_prompts_matter(components):
    from sd_helpers.metrics import mean_difference

    one, two = generate(components, "a cat face", num_images=2, **DRAWING)
    (other,) = generate(components, "a rocket", **DRAWING)
    assert mean_difference(one, two) > 3 and mean_difference(one, other) > 10


def test_the_words_people_will_type_are_known(components):
    from sd_helpers import unknown_words

    for prompt in ("a picture of a puppy", "a skunk", "a mouse", "a leopard", "an otter", "a macaw", "a parrot", "a campfire",
                   "a colorful dancer", "an astronaut", "a red apple on a blue background"):  # fmt: skip
        assert unknown_words(prompt, components.tokenizer, components.text_encoder) == []
    for style in gallery.STYLES:
        assert unknown_words(style, components.tokenizer, components.text_encoder) == []
