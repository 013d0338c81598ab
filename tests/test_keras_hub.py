"""KerasHub's models become ours and ours theirs: logits, ids, text, files."""

import functools
import importlib.util
from typing import Any

import numpy as np
import pytest
from hub_peers import CASES, LENGTH, TEXTS, logits, task

from keras_llm import zoo
from keras_llm.layers import new_cache
from keras_llm.step import decoder_step
from keras_llm.zoo.hub_tables import HUB_FAMILIES

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("keras_hub") is None,
    reason="needs the extra hub-interop",
)
TOLERANCE = 1e-4
FOUR = ("gpt2", "llama3", "qwen", "gemma")
ONE_EACH = {family: name for name, (family, _) in reversed(CASES.items())}
TOKENS = np.random.default_rng(1).integers(0, 330, (2, LENGTH)).astype("int32")
MASK = (np.arange(LENGTH) < [[LENGTH], [LENGTH - 7]]).astype("int32")


@functools.cache
def theirs(name: str) -> Any:
    return task(name)


@functools.cache
def ours(name: str) -> Any:
    return zoo.from_keras_hub(theirs(name))


def same(found: Any, expected: Any, mask: Any = MASK) -> None:
    found, expected = np.asarray(found)[mask > 0], expected[mask > 0]
    assert np.abs(expected).max() > 0.5, "the logits say nothing"
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)


def test_every_family_has_a_case():
    assert set(ONE_EACH) == set(HUB_FAMILIES)


@pytest.mark.parametrize("name", CASES)
def test_logits_with_padding(name):
    expected = logits(theirs(name).backbone, TOKENS, MASK)
    found = ours(name).model({"tokens": TOKENS, "segments": MASK})
    same(found, expected)


@pytest.mark.parametrize("name", CASES)
def test_logits_with_the_cache(name):
    every = np.ones_like(MASK)
    step, pieces = decoder_step(ours(name).model), []
    caches = new_cache(ours(name).config, 2, LENGTH)
    for start, end in ((0, 9), (9, 10), (10, LENGTH)):
        positions = np.tile(np.arange(start, end, dtype="int32"), (2, 1))
        found, caches = step(TOKENS[:, start:end], positions, caches)
        pieces.append(np.asarray(found))
    expected = logits(theirs(name).backbone, TOKENS, every)
    same(np.concatenate(pieces, 1), expected, every)


def below(weight: Any, model: Any) -> tuple[str, int]:
    """Which of its layer's weights this is, and of which layer."""
    return next(
        (layer.name, i)
        for layer in model.layers
        for i, each in enumerate(layer.weights)
        if each is weight
    )


@pytest.mark.parametrize("name", CASES)
def test_back_again_with_the_same_weights(name):
    again = zoo.to_keras_hub(ours(name), CASES[name][0]).backbone
    before, after = theirs(name).backbone, again
    copies = {below(weight, after): weight for weight in after.weights}
    for weight in before.weights:
        np.testing.assert_array_equal(copies[below(weight, before)], weight)
    same(logits(after, TOKENS, MASK), logits(before, TOKENS, MASK))


@pytest.mark.parametrize("family", HUB_FAMILIES)
def test_ids_of_ordinary_text(family):
    import tensorflow as tf

    hub, lm = theirs(ONE_EACH[family]), ours(ONE_EACH[family])
    for text in TEXTS:
        expected = [int(i) for i in hub.preprocessor.tokenizer(text)]
        assert lm.tokenizer.encode(text) == expected
        assert lm.tokenizer(tf.constant(text)).numpy().tolist() == expected
        packed = hub.preprocessor.generate_preprocess(
            [text], sequence_length=LENGTH
        )
        prompt = np.asarray(packed["token_ids"])[0]
        size = int(np.asarray(packed["padding_mask"]).sum())
        assert lm.encode_prompt(text)[:size] == prompt[:size].tolist()


def greedy(hub: Any, prompt: str) -> str:
    """The continuation; some families cannot leave the prompt out."""
    whole = hub.generate(prompt, max_length=LENGTH)
    return whole.removeprefix(prompt)


# With its cache, KerasHub's GPT-NeoX turns every new token as the first one,
# so its text is not what its own logits say.
@pytest.mark.parametrize("family", set(HUB_FAMILIES) - {"gpt_neo_x"})
def test_greedy_text(family):
    hub, lm = theirs(ONE_EACH[family]), ours(ONE_EACH[family])
    prompt = "the quick"
    room = LENGTH - len(lm.encode_prompt(prompt))
    found = lm.generate(prompt, max_new_tokens=room)
    for token in hub.preprocessor.tokenizer.special_tokens:
        found = found.replace(token, "")  # KerasHub never shows them
    assert found == greedy(hub, prompt)
