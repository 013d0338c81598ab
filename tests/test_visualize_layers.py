"""Pictures of experts and of quantization hold what layers really do."""

import keras
import numpy as np
import pytest

from keras_llm import CausalLM, DecoderConfig, Experts, InputError
from keras_llm.model import build_decoder
from keras_llm.quantize import Quantization, dequantized_copy, integers
from keras_llm.tokenizers import BytePairTokenizer
from keras_llm.visualize import (
    expert_imbalance,
    expert_load_figure,
    observe,
    quantization_errors,
    quantization_figure,
)

ROWS = np.random.default_rng(1).integers(0, 90, (6, 16)).astype("int32")


def decoder(**changes):
    keras.utils.set_random_seed(4)
    sizes = {
        "vocabulary_size": 270,
        "context_length": 32,
        "num_layers": 2,
        "hidden_dim": 32,
        "num_heads": 4,
    }
    return build_decoder(DecoderConfig(**{**sizes, **changes}))


def chosen_by_hand(model, layer):
    """Counts of each expert, from what the router said."""
    mixture = model.get_layer(f"block_{layer}").mlp
    _, calls = observe(model, ROWS, [mixture.router])
    scores = np.asarray(calls[mixture.router.path].output).reshape(-1, 4)
    best = np.argsort(-scores, axis=-1)[:, :2]
    return np.bincount(best.ravel(), minlength=4)


def test_the_picture_of_experts_has_their_shares():
    model = decoder(experts=Experts(count=4, top_k=2))
    figure = expert_load_figure(model, ROWS)
    table = np.asarray(figure.axes[0].images[0].get_array())
    bars = [bar.get_width() for bar in figure.axes[1].patches]
    for layer in range(2):
        counts = chosen_by_hand(model, layer)
        assert np.allclose(table[layer], 4 * counts / counts.sum(), atol=1e-6)
        worst = counts.max() / counts.mean() - 1
        assert bars[layer] == pytest.approx(worst, abs=1e-5)
    cells = [one.get_text() for one in figure.axes[0].texts]
    assert cells[0] == f"{table[0, 0]:.1f}"


def test_imbalance_is_zero_to_count_minus_one():
    load = [[0.25] * 4, [1, 0, 0, 0], [0.5, 0.5, 0, 0]]
    assert expert_imbalance(np.array(load)).tolist() == [0, 3, 1]


def outputs(model, path):
    """What a Dense layer of the model is given."""
    name, *inner = path.removesuffix("/kernel").split("/")
    layer = model.get_layer(name)
    for part in inner:
        layer = getattr(layer, part)
    _, calls = observe(model, ROWS, [layer])
    return np.asarray(calls[layer.path].args[0]).reshape(-1, 32)


@pytest.mark.parametrize("storage", ["int8", "int4"])
def test_errors_are_those_of_the_numbers(storage):
    model = decoder()
    found = integers(model, Quantization(storage=storage))
    errors = {e.path: e for e in quantization_errors(model, storage, ROWS)}
    assert set(errors) == set(found)
    weights = {w.path: np.asarray(w) for w in model.weights}
    for path in ("block_0/attention/query/kernel", "block_1/mlp/up/kernel"):
        right, wrong = weights[path], found[path].dequantize()
        lost = np.linalg.norm(wrong - right) / np.linalg.norm(right)
        assert errors[path].weight == pytest.approx(lost, rel=1e-4)
        x = outputs(model, path)
        lost = np.linalg.norm(x @ wrong - x @ right) / np.linalg.norm(x @ right)
        assert errors[path].output == pytest.approx(lost, rel=1e-3)
    assert np.isnan(errors["token_embedding/embeddings"].output)


def test_the_errors_are_those_of_the_copy_that_is_used():
    model = decoder()
    copy = dequantized_copy(
        model, integers(model, Quantization(storage="int4"))
    )
    used = {w.path: np.asarray(w) for w in copy.weights}
    for one in quantization_errors(model, "int4"):
        right = np.asarray(next(w for w in model.weights if w.path == one.path))
        lost = np.linalg.norm(used[one.path] - right) / np.linalg.norm(right)
        assert one.weight == pytest.approx(lost, rel=1e-4)
        assert np.isnan(one.output)


def test_gptq_does_better_on_outputs():
    model = decoder()
    gptq = Quantization(storage="int4", method="gptq")
    plain, better = (
        np.nanmean([e.output for e in quantization_errors(model, one, ROWS)])
        for one in ("int4", gptq)
    )
    assert better < 0.95 * plain


def test_experts_are_one_weight_each_kind():
    model = decoder(experts=Experts(count=4, top_k=2, mlp_dim=16))
    kinds = {e.kind: e for e in quantization_errors(model, "int8", ROWS)}
    assert {"experts/gate", "experts/up", "experts/down"} < set(kinds)
    assert 0 < kinds["experts/up"].output < 0.02


def test_the_picture_of_errors_is_in_per_cent():
    tokenizer = BytePairTokenizer.train(["a rose is a rose"], 270)
    lm = CausalLM(decoder(), tokenizer)
    text = "a rose is a thorn, it was said. " * 9
    figure = quantization_figure(lm, {"a": "int8", "": "int4"}, text)
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles[0].startswith("a: weights (token table 0.")
    assert titles[1:4:2] == ["a: outputs", "int4: outputs"]
    errors = quantization_errors(lm, "int8", text)
    first = next(e for e in errors if e.kind == "attention/query")
    table = figure.axes[0].images[0].get_array()
    labels = [one.get_text() for one in figure.axes[0].get_yticklabels()]
    row = labels.index("attention/query")
    assert table[row, 0] == pytest.approx(100 * first.weight)


def test_mistakes_are_sentences():
    model = decoder()
    gptq = Quantization(storage="int4", method="gptq")
    cases = {
        "Expected a model with experts": lambda: expert_load_figure(
            model, ROWS
        ),
        "Received: 'bfloat16'": lambda: quantization_errors(model, "bfloat16"),
        "Pass a CausalLM": lambda: quantization_errors(model, "int8", "a b"),
        "Expected a calibration text": lambda: quantization_errors(model, gptq),
    }
    for sentence, call in cases.items():
        with pytest.raises(InputError) as error:
            call()
        assert sentence in str(error.value)
