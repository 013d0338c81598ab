"""Adapters: what they compute, what trains, what can be switched and merged."""

import keras
import numpy as np
import pytest
import tiny_run
from adapted import EVERY, TOKENS, logits, stir
from contract import CONFIGS, decoder
from keras import ops
from served_models import language_model

from keras_llm import adapters
from keras_llm.adapters import Lora, attach
from keras_llm.errors import InputError


def tuned(family="llama", lora=None, dtype="float32"):
    model = decoder(CONFIGS[family], dtype)
    attach(model, lora or Lora(rank=3, targets=EVERY))
    stir(model)
    return model


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return tiny_run.write_rows(tmp_path_factory.mktemp("rows"))


# === What it computes ===


@pytest.mark.parametrize("dora", [False, True])
def test_the_layer_is_the_formula_of_the_papers(dora):
    layer = keras.layers.Dense(5, activation="tanh", bias_initializer="normal")
    model = keras.Sequential([keras.Input((7,)), layer])
    lora = Lora(rank=2, alpha=3, targets=EVERY, dora=dora, rank_stabilized=True)
    attach(model, lora)
    stir(model, 0.5)
    adapter = layer.adapters["default"]
    w, bias, a, b = (
        ops.convert_to_numpy(v).astype("float64")
        for v in (layer._kernel, layer.bias, adapter.a, adapter.b)
    )
    x = np.random.default_rng(1).normal(size=(4, 7))
    moved = w + 3 / 2**0.5 * a @ b
    if dora:
        lengths = np.sqrt((moved**2).sum(0))
        moved = moved * ops.convert_to_numpy(adapter.magnitude) / lengths
    expected = np.tanh(x @ moved + bias)
    np.testing.assert_allclose(model(x), expected, atol=1e-5)
    np.testing.assert_allclose(layer.kernel, moved, atol=1e-5)


@pytest.mark.parametrize("dora", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_a_new_adapter_changes_nothing(dtype, dora):
    model = decoder(CONFIGS["gpt2"], dtype)
    before = logits(model)
    paths = [weight.path for weight in model.weights]
    attach(model, Lora(targets=EVERY, dora=dora))
    np.testing.assert_allclose(logits(model), before, atol=1e-5)
    assert set(paths) < {weight.path for weight in model.weights}
    assert {v.dtype for v in model.trainable_variables} == {"float32"}


@pytest.mark.parametrize(
    ("family", "dora"),
    [("gpt2", False), ("gpt2", True), ("llama", True), ("gemma3", False)],
)
def test_merged_equals_unmerged(family, dora):
    # Gemma's norms after each branch make more of a rounding.
    limit = 4e-5 if family == "gemma3" else 1e-5
    model = tuned(family, Lora(rank=3, targets=EVERY, dora=dora))
    before = logits(model)
    kernels = [np.array(w) for w in model.weights]
    adapters.merge(model)
    assert model.trainable_variables == [] and adapters.is_merged(model)
    np.testing.assert_allclose(logits(model), before, atol=limit)
    adapters.unmerge(model)
    np.testing.assert_array_equal(logits(model), before)
    for weight, kernel in zip(model.weights, kernels, strict=True):
        np.testing.assert_array_equal(weight, kernel)
    copy = adapters.merged_copy(model)
    np.testing.assert_allclose(logits(copy), before, atol=limit)
    plain = decoder(CONFIGS[family])
    assert [w.path for w in copy.weights] == [w.path for w in plain.weights]


def test_layers_start_with_other_numbers_and_the_same_seed_with_the_same():
    first, second, other = (decoder(CONFIGS["llama"]) for _ in range(3))
    attach(first, Lora(targets=EVERY))
    attach(second, Lora(targets=EVERY))
    attach(other, Lora(targets=EVERY), seed=1)

    def starts(model):
        layers = adapters.layers.layers_of(model, "default").values()
        return [np.array(layer.adapters["default"].a) for layer in layers]

    for one, same in zip(starts(first), starts(second), strict=True):
        np.testing.assert_array_equal(one, same)
    drawn = [array.ravel()[:4] for m in (first, other) for array in starts(m)]
    assert len(np.unique(np.stack(drawn), axis=0)) == len(drawn)


def test_dropout_drops_in_training_only():
    model = tuned(lora=Lora(rank=3, targets=EVERY, dropout=0.5))
    quiet = logits(model)
    np.testing.assert_array_equal(logits(model, training=False), quiet)
    first, second = (logits(model, training=True) for _ in range(2))
    assert np.abs(first - quiet).max() > 1e-3 < np.abs(first - second).max()


def test_any_keras_model_with_dense_layers():
    inputs = keras.Input((6,))
    x = keras.layers.Dense(8, activation="relu", name="hidden")(inputs)
    x = keras.layers.BatchNormalization()(x)
    model = keras.Model(inputs, keras.layers.Dense(1, name="head")(x))
    x = np.random.default_rng(0).normal(size=(64, 6)).astype("float32")
    y = x[:, :1] - x[:, 1:2]
    assert attach(model, Lora(rank=4, targets=("hidden",))) == ["hidden"]
    kernel = np.array(model.get_layer("head").kernel)
    model.compile(keras.optimizers.Adam(0.03), "mse")
    losses = model.fit(x, y, epochs=12, verbose=0).history["loss"]
    assert losses[-1] < 0.7 * losses[0]
    np.testing.assert_array_equal(model.get_layer("head").kernel, kernel)
    adapters.detach(model)
    # The averages of the normalization did not train before either.
    assert len(model.trainable_variables) == len(model.weights) - 2


# === What trains ===


@pytest.mark.parametrize("dora", [False, True])
def test_fit_changes_the_adapter_and_nothing_else(rows, dora):
    model = tiny_run.build()
    attach(model, Lora(rank=2, dropout=0.1, targets=EVERY, dora=dora))
    before = {w.path: np.array(w) for w in model.weights}
    trained = {v.path for v in model.trainable_variables}
    assert len(trained) == 7 * (3 if dora else 2)
    tiny_run.train(rows, None, model)
    changed = {
        w.path for w in model.weights if (before[w.path] != np.array(w)).any()
    }
    assert changed == trained


def test_a_recomputed_block_drops_the_same(rows):
    """Where layers are called again, nobody tells them of training."""
    losses = []
    for remat in (False, True):
        model = tiny_run.build(remat=remat)
        attach(model, Lora(rank=2, dropout=0.3, targets=EVERY))
        losses.append(tiny_run.train(rows, None, model, steps=4).loss)
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


@pytest.mark.parametrize(
    ("all_but", "starts"),
    [
        (
            "last_1",
            ("block_2/", "final_norm/", "token_embedding/reverse_embeddings"),
        ),
        (("bias", "final_norm/.*"), ("final_norm",)),
        (["block_1/.*"], ("block_1/",)),
        ("all", ("",)),
        (None, ()),
    ],
)
def test_freeze(all_but, starts):
    model = decoder(
        CONFIGS["llama"]
        if all_but != ("bias", "final_norm/.*")
        else CONFIGS["gpt2"]
    )
    number = adapters.freeze(model, all_but)
    paths = {v.path for v in model.trainable_variables}
    wanted = {w.path for w in model.weights if w.path.startswith(starts)}
    if starts == ("final_norm",):
        wanted |= {w.path for w in model.weights if w.path.endswith("/bias")}
    assert paths == (wanted if starts else set())
    assert number == sum(
        int(np.prod(v.shape)) for v in model.trainable_variables
    )
    assert adapters.freeze(model, "all") == model.count_params()


def test_a_tied_head_stays_frozen():
    model = decoder(CONFIGS["gpt2"])
    adapters.freeze(model, "last_2")
    names = {v.path.split("/")[0] for v in model.trainable_variables}
    assert names == {"block_1", "block_2", "final_norm"}


@pytest.mark.parametrize("all_but", ["last_9", "last_0", "no_such", ("(",)])
def test_freeze_says_what_there_is(all_but):
    model = decoder(CONFIGS["llama"])
    with pytest.raises(InputError, match="Expected"):
        adapters.freeze(model, all_but)
    assert len(model.trainable_variables) == len(model.weights)


# === Several ===


def test_adapters_are_switched():
    model = decoder(CONFIGS["llama"])
    seen = {None: logits(model)}
    for name, targets in (("one", EVERY), ("two", ("query", "mlp/.*"))):
        attach(model, Lora(rank=2, targets=targets), name=name)
        stir(model)
        seen[name] = logits(model)
    for name in ("one", None, "two", "one"):
        adapters.activate(model, name)
        assert adapters.active(model) == name
        np.testing.assert_array_equal(logits(model), seen[name])
        own = {v.path.split("/")[-2] for v in model.trainable_variables}
        assert own == ({name} if name else set())
    with adapters.adapter_off(model):
        np.testing.assert_array_equal(logits(model), seen[None])
        assert len(model.trainable_variables) == 2 * 7 * 3
    np.testing.assert_array_equal(logits(model), seen["one"])
    adapters.detach(model, "two")
    np.testing.assert_array_equal(logits(model), seen["one"])
    adapters.detach(model, "one")
    np.testing.assert_array_equal(logits(model), seen[None])
    assert type(model).__name__ == "Decoder"
    assert len(model.trainable_variables) == len(model.weights)


def test_the_base_is_a_reference_inside_of_one_traced_function():
    import tensorflow as tf

    model = decoder(CONFIGS["llama"])
    base = logits(model)
    attach(model)
    stir(model)

    @tf.function
    def both(tokens):
        with adapters.adapter_off(model):
            reference = model(tokens)
        return reference, model(tokens)

    reference, policy = both(TOKENS)
    np.testing.assert_allclose(reference, base, atol=1e-5)
    np.testing.assert_allclose(policy, logits(model), atol=1e-5)


def test_generation_follows_the_adapter():
    lm = language_model("llama")
    plain = lm.generate("a rose", max_new_tokens=12)
    score = lm.score("a rose is")
    for name in ("one", "two"):
        attach(lm.model, Lora(rank=4, targets=EVERY), name=name)
        stir(lm.model, 0.4 if name == "one" else 0.6)
    texts = {}
    for name in ("one", "two"):
        adapters.activate(lm.model, name)
        merged = lm.replace(model=adapters.merged_copy(lm.model))
        texts[name] = lm.generate("a rose", max_new_tokens=12)
        assert texts[name] == merged.generate("a rose", max_new_tokens=12)
        assert "".join(lm.stream("a rose", max_new_tokens=12)) == texts[name]
        np.testing.assert_allclose(
            lm.score("a rose is"), merged.score("a rose is"), atol=1e-5
        )
    assert len({plain, *texts.values()}) == 3
    adapters.merge(lm.model)
    assert lm.generate("a rose", max_new_tokens=12) == texts["two"]
    adapters.unmerge(lm.model)
    adapters.activate(lm.model, None)
    assert lm.generate("a rose", max_new_tokens=12) == plain
    np.testing.assert_array_equal(lm.score("a rose is"), score)


# === What is refused ===


def test_what_cannot_be_is_refused():
    model = decoder(CONFIGS["llama"])
    with pytest.raises(InputError, match="block_0/attention/key"):
        attach(model, Lora(targets=("q_proj",)))
    with pytest.raises(InputError, match="active adapter to merge"):
        adapters.merge(model)
    attach(model)
    with pytest.raises(InputError, match="new name"):
        attach(model)
    with pytest.raises(InputError, match="letters"):
        attach(model, name="a/b")
    with pytest.raises(InputError, match="There are: default"):
        adapters.activate(model, "other")
    with pytest.raises(InputError, match="nothing merged"):
        adapters.unmerge(model)
    adapters.merge(model)
    for refused in (
        lambda: attach(model, name="second"),
        lambda: adapters.activate(model, None),
        lambda: adapters.detach(model),
        lambda: adapters.merge(model),
        lambda: adapters.quantize_base(model),
    ):
        with pytest.raises(InputError, match="unmerge"):
            refused()


@pytest.mark.parametrize(
    "settings",
    [
        {"rank": 0},
        {"rank": 1.5},
        {"alpha": -1},
        {"dropout": 1.0},
        {"targets": ()},
        {"targets": ("(",)},
    ],
)
def test_settings_are_checked(settings):
    with pytest.raises(InputError, match="Expected"):
        Lora(**settings)


def test_settings_go_through_json(tmp_path):
    lora = Lora(rank=4, targets="mlp/.*", dora=True)
    lora.save(tmp_path / "lora.json")
    assert Lora.load(tmp_path / "lora.json") == lora
