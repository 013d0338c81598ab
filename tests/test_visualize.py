"""Pictures of a model at work show what the model really computed."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_llm import CausalLM, DecoderConfig, Experts, InputError, Rope
from keras_llm.model import build_decoder
from keras_llm.tokenizers import BytePairTokenizer
from keras_llm.visualize import (
    attention_figure,
    attention_weights,
    embedding_neighbours,
    export_projector,
    logit_lens,
    logit_lens_figure,
    neighbours_figure,
    observe,
    token_loss_figure,
    token_losses,
)
from keras_llm.visualize.losses import wrapped

TEXT = "a rose is a rose\nand no thorn"


def decoder(**changes):
    fields = {
        "vocabulary_size": 264,
        "context_length": 32,
        "num_layers": 2,
        "hidden_dim": 16,
        "num_heads": 4,
    }
    return build_decoder(DecoderConfig(**{**fields, **changes}))


@pytest.fixture(scope="module")
def lm():
    keras.utils.set_random_seed(3)
    tokenizer = BytePairTokenizer.train(["a rose is a rose"], 264)
    return CausalLM(decoder(), tokenizer)


def stock_model():
    """A model of Keras's own layers, with names of its own."""
    tokens = keras.Input((None,), dtype="int32")
    x = keras.layers.Embedding(20, 8)(tokens)
    y = keras.layers.MultiHeadAttention(2, 4, name="many")(
        x, x, use_causal_mask=True
    )
    x = keras.layers.LayerNormalization(name="after")(x + y)
    return keras.Model(tokens, keras.layers.Dense(20, name="head")(x))


VARIANTS = {
    "rotary": {},
    "learned positions": {"rope": None},
    "shared keys": {"num_kv_heads": 2},
    "local windows": {"pattern": "LG", "window": 3},
    "sinks": {"attention_sinks": True},
    "soft cap": {"attention_softcap": 5.0},
    "experts": {"experts": Experts(count=2, top_k=1)},
    "other base": {"rope": Rope(theta=500.0)},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_attention_weights_are_those_the_layer_uses(variant):
    model = decoder(**VARIANTS[variant])
    ids = np.arange(10) + 20
    maps = attention_weights(model, ids)
    assert list(maps) == ["block_0/attention", "block_1/attention"]
    for index, weights in enumerate(maps.values()):
        layer = model.get_layer(f"block_{index}").attention
        assert weights.shape == (4, 10, 10)
        assert np.allclose(np.triu(weights, 1), 0, atol=1e-7)
        _, calls = observe(model, ids[None].astype("int32"), [layer])
        args, kwargs, output = calls[layer.path]
        x, rotary = args[0], (args[1] if len(args) > 1 else None)
        *_, value = layer._heads(x, (1, 10), rotary)
        value = ops.repeat(value, 4 // value.shape[1], axis=1)
        mixed = ops.matmul(ops.convert_to_tensor(weights[None]), value)
        again = layer._projected(mixed, (1, 10))
        assert np.allclose(again, output, atol=1e-5)
        total = weights.sum(-1)
        if variant == "sinks":
            assert (total < 1).all()
        else:
            assert np.allclose(total, 1, atol=1e-5)
    if variant == "local windows":
        first, second = maps.values()
        assert np.allclose(np.tril(first, -3), 0)
        assert np.tril(second, -3).max() > 0


def test_attention_weights_of_keras_layers_are_keras_own():
    model = stock_model()
    weights = attention_weights(model, [1, 2, 3])["many"]
    x = model.layers[1](np.array([[1, 2, 3]]))
    layer = model.get_layer("many")
    _, scores = layer(x, x, use_causal_mask=True, return_attention_scores=True)
    assert np.allclose(weights, scores[0])


def test_observing_leaves_the_model_as_it_was(lm):
    layer = lm.model.get_layer("block_1")
    before = lm.model(np.array([[1, 2, 3]]))
    output, calls = observe(lm.model, np.array([[1, 2, 3]]), [layer])
    assert np.array_equal(before, output) and "block_1" in calls
    assert "call" not in vars(layer)


def test_observing_an_error_leaves_the_model_as_it_was(lm):
    layer = lm.model.get_layer("block_1")
    with pytest.raises(Exception, match="."):
        observe(lm.model, "no tokens", [layer])
    assert "call" not in vars(layer)


def test_the_lens_ends_with_what_the_model_says(lm):
    ids = lm.encode_prompt(TEXT)
    *layers, output = logit_lens(lm, TEXT)
    assert [one.name for one in layers] == ["block_0", "block_1"]
    table = ops.convert_to_numpy(
        ops.softmax(lm.model(np.array([ids], "int32")), axis=-1)
    )[0]
    for last in (layers[-1], output):  # the last block, and the logits
        assert np.array_equal(last.best, table.argmax(-1))
        assert np.allclose(last.probability, table.max(-1), atol=1e-6)
        right = table[np.arange(len(ids) - 1), ids[1:]]
        assert np.allclose(last.target_probability[:-1], right, atol=1e-6)
        assert np.isnan(last.target_probability[-1])
    assert not np.allclose(layers[0].probability, output.probability)


def test_the_lens_reads_any_functional_model():
    model = stock_model()
    head = model.get_layer("head")
    kinds = (keras.layers.LayerNormalization,)
    first, output = logit_lens(model, [1, 2, 3], layers=kinds, head=head)
    assert first.name == "after"
    assert np.array_equal(first.best, output.best)


def test_token_losses_are_the_models(lm):
    names, losses = token_losses(lm, TEXT)
    assert np.isnan(losses[0]) and len(names) == len(losses)
    assert np.allclose(-losses[1:], lm.score(TEXT)[-len(losses) + 1 :], 1e-4)


def test_neighbours_are_the_nearest_by_cosine(lm):
    table = ops.convert_to_numpy(lm.model.get_layer("token_embedding").weights)
    table = np.asarray(table[0], "float64")
    unit = table / np.linalg.norm(table, axis=-1, keepdims=True)
    cosine = unit @ unit[65]
    order = [i for i in np.argsort(-cosine) if i != 65][:5]
    found = embedding_neighbours(lm, 65, count=5)
    assert [one for one, *_ in found] == order
    assert np.allclose([one[2] for one in found], cosine[order], atol=1e-5)


def test_every_token_has_no_more_neighbours_than_there_are():
    assert len(embedding_neighbours(stock_model(), 0, count=50)) == 19


def test_each_picture_is_one_call(lm, tmp_path):
    figures = {
        "attention": attention_figure(lm, TEXT, layer=0, heads=[0, -1]),
        "lens": logit_lens_figure(lm, TEXT),
        "losses": token_loss_figure(lm, TEXT),
        "neighbours": neighbours_figure(lm, [65, 66]),
    }
    for name, figure in figures.items():
        path = tmp_path / f"{name}.png"
        figure.savefig(path)
        assert path.stat().st_size > 3000


def test_a_picture_of_losses_wraps_at_line_ends():
    assert wrapped(["ab"] * 50)[0] == list(range(35))
    assert wrapped(["a⏎", "b"]) == [[0], [1]]
    assert wrapped(["x" * 200, "b"]) == [[0], [1]]


def test_the_projector_gets_tokens_and_vectors(lm, tmp_path):
    export_projector(lm, tmp_path / "new", most=100)
    lines = (tmp_path / "new" / "tokens.tsv").read_text().splitlines()
    assert len(lines) == 100


def test_mistakes_are_sentences(lm):
    dense = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    cases = {
        "Expected a layer from 0 to 1. Received: 2": lambda: attention_figure(
            lm, TEXT, layer=2
        ),
        "Expected a head from 0 to 3": lambda: attention_figure(
            lm, TEXT, heads=[4]
        ),
        "at least two tokens. Received: 1": lambda: token_losses(lm, [3]),
        "Expected a tokenizer to read": lambda: token_losses(lm.model, "a b"),
        "with attention layers": lambda: attention_weights(dense, [1, 2]),
        "of the kind Block": lambda: logit_lens(dense, [1, 2]),
        "Pass head=": lambda: logit_lens(
            dense, [1, 2], layers=(keras.layers.Dense,)
        ),
        "Expected a text of one token": lambda: embedding_neighbours(
            lm, "a thorn"
        ),
        "Expected an id from 0 to 263": lambda: embedding_neighbours(lm, 264),
        "with an Embedding layer": lambda: embedding_neighbours(dense, 1),
        "at least one token": lambda: neighbours_figure(lm, []),
    }
    for sentence, call in cases.items():
        with pytest.raises(InputError, match=".") as error:
            call()
        assert sentence in str(error.value)
