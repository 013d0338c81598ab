"""More ids for a decoder: old logits stay, new ids start as the average."""

import numpy as np
import pytest
from contract import CONFIGS, VOCABULARY

from keras_llm import (
    BytePairTokenizer,
    CausalLM,
    DecoderConfig,
    InputError,
    build_decoder,
    resize_embedding,
)

TOKENS = np.array([[3, 7, 1, VOCABULARY - 1]])


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma2"])
def test_logits_of_the_old_ids_are_equal(name):
    model = build_decoder(CONFIGS[name], "float32")
    before = [np.array(weight) for weight in model.weights]
    larger = resize_embedding(model, VOCABULARY + 5)
    old, new = np.asarray(model(TOKENS)), np.asarray(larger(TOKENS))
    assert new.shape == (1, 4, VOCABULARY + 5)
    np.testing.assert_allclose(new[..., :VOCABULARY], old, atol=1e-6)
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)


@pytest.mark.parametrize("name", ["gpt2", "llama"])  # tied, and not
def test_new_ids_are_the_average_of_the_old_ones(name):
    model = build_decoder(CONFIGS[name], "float32")
    larger = resize_embedding(model, VOCABULARY + 2)
    for weight in larger.get_layer("token_embedding").weights:
        rows = np.array(weight)
        rows = rows if rows.shape[0] == VOCABULARY + 2 else rows.T
        mean = rows[:VOCABULARY].mean(axis=0)
        np.testing.assert_allclose(rows[VOCABULARY:], [mean, mean], atol=1e-6)
    logits = np.asarray(larger(TOKENS))
    average = logits[..., :VOCABULARY].mean(-1)
    np.testing.assert_allclose(logits[..., -1], average, atol=1e-5)


def test_precision_and_the_same_size_stay():
    model = build_decoder(CONFIGS["llama"], "mixed_bfloat16", remat=True)
    same = resize_embedding(model, VOCABULARY)
    assert same.compute_dtype == "bfloat16" and same.remat
    for ours, theirs in zip(same.weights, model.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_model_learns_tokens_that_its_tokenizer_got():
    tokenizer = BytePairTokenizer.train(["a rose is a rose"], 264)
    config = DecoderConfig(
        vocabulary_size=264,
        context_length=16,
        num_layers=1,
        hidden_dim=8,
        num_heads=2,
    )
    lm = CausalLM(build_decoder(config, "float32"), tokenizer)
    more = tokenizer.with_tokens(["<|think|>"])
    with pytest.raises(InputError, match="at most 264 tokens"):
        CausalLM(lm.model, more)
    larger = CausalLM(resize_embedding(lm.model, more.vocabulary_size), more)
    assert larger.config.vocabulary_size == 265
    ids = more.encode("a<|think|>", allowed_special="all")
    assert ids[-1] == 264
    assert larger.generate("a", max_new_tokens=4) == lm.generate(
        "a", max_new_tokens=4
    )


def test_ids_cannot_be_taken_away():
    model = build_decoder(CONFIGS["llama"])
    with pytest.raises(InputError, match="at least 61.*Received: 60"):
        resize_embedding(model, VOCABULARY - 1)
