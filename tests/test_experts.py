"""The mixture of experts: exact by every way, and its losses."""

import contract
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from mixtures import HIDDEN, INNER, SETTINGS, WAYS, mixture, rows_of

from keras_llm import Experts, InputError, build_decoder
from keras_llm.evaluate import expert_load
from keras_llm.layers import MixtureOfExperts, dispatch_by
from keras_llm.layers.dispatch import _block_size, _layout
from keras_llm.layers.mlp import GATED, PLAIN

every = pytest.mark.parametrize("name", SETTINGS)


def by_hand(layer: MixtureOfExperts, x: np.ndarray) -> np.ndarray:
    """Token by token and expert by expert, as the papers write it."""
    weights = {
        v.path.split("/", 1)[1]: np.asarray(v, "float64") for v in layer.weights
    }
    scores = x @ weights["router/kernel"] + weights.get("router/bias", 0.0)
    out = np.zeros_like(x, "float64")
    for row, token in enumerate(x):
        chosen = np.argsort(-scores[row])[: layer.top_k]
        powers = np.exp(scores[row])
        total = powers[chosen].sum() if layer.normalize else powers.sum()
        for expert in chosen:
            own = {
                key: weights[key][expert] for key in weights if "/" not in key
            }
            out[row] += powers[expert] / total * mlp(layer.kind, own, token)
    if layer.shared is not None:
        shared = {
            key.split("/")[1]: value
            for key, value in weights.items()
            if key.startswith("shared/")
        }
        out += np.array([mlp(layer.kind, shared, token) for token in x])
    return out


def mlp(kind: str, weights: dict, token: np.ndarray) -> np.ndarray:
    def project(x, name):
        return x @ weights[name] + weights.get(f"{name}_bias", 0.0)

    def activated(function, *inputs):
        inputs = [np.asarray(x, "float32") for x in inputs]
        return np.asarray(function(*inputs), "float64")

    if kind in GATED:
        gate, up = project(token, "gate"), project(token, "up")
        return project(activated(GATED[kind], gate, up), "down")
    return project(activated(PLAIN[kind], project(token, "up")), "down")


@every
@pytest.mark.parametrize("way", WAYS)
def test_equals_a_loop_over_tokens_and_experts(name, way):
    layer = mixture(name)
    for count in (1, 2, 5, 64):
        x = rows_of(count, seed=count)
        with dispatch_by(way):
            found = layer(x)
        contract.close(found, by_hand(layer, x), 1e-5)


@every
def test_layer_contract(name):
    layer = MixtureOfExperts(inner_dim=INNER, **SETTINGS[name])
    x = rows_of(10).reshape(2, 5, HIDDEN)
    contract.check_layer(layer, x, shape=x.shape)


@every
def test_gradients_are_those_of_every_expert_in_turn(name):
    x = tf.constant(rows_of(40))
    found = {}
    for way in WAYS:
        layer = mixture(name)
        with dispatch_by(way), tf.GradientTape() as tape:
            tape.watch(x)
            loss = ops.sum(ops.square(layer(x)))
        sources = [x, *(v.value for v in layer.trainable_weights)]
        gradients = tape.gradient(loss, sources)
        found[way] = [np.asarray(tf.convert_to_tensor(g)) for g in gradients]
    for way in ("blocks", "slices"):
        for one, other in zip(found[way], found["turns"], strict=True):
            contract.close(one, other, 1e-4)


@pytest.mark.parametrize("way", ["blocks", "slices"])
def test_nothing_is_dropped_when_all_choose_the_same(way):
    layer = mixture("mixtral")
    layer.router.kernel.assign(np.zeros((HIDDEN, 4)))  # equal: the first win
    x = rows_of(50)
    with dispatch_by(way):
        contract.close(layer(x), by_hand(layer, x), 1e-5)


@pytest.mark.parametrize("way", ["blocks", "slices"])
@pytest.mark.parametrize("count", [1, 50])
def test_what_nobody_chose_is_not_computed(way, count):
    layer = mixture("mixtral")
    layer.router.kernel.assign(np.zeros((HIDDEN, 4)))  # equal: the first win
    unused = np.arange(4)[:, None, None] >= 2
    layer.gate.assign(np.where(unused, np.nan, layer.gate))
    with dispatch_by(way):
        assert np.isfinite(np.asarray(layer(rows_of(count)))).all()


@pytest.mark.parametrize("dynamic", [False, True])
def test_padding_is_bounded_whatever_is_chosen(dynamic):
    generator = np.random.default_rng(0)
    for count, top_k, rows in ((8, 2, 1000), (64, 8, 300), (5, 1, 3)):
        size = _block_size(rows, top_k, count)
        if dynamic:
            assert int(_block_size(tf.constant(rows), top_k, count)) == size
        uneven = generator.dirichlet(np.full(count, 0.1))
        for share in (np.full(count, 1 / count), uneven + 1e-9):
            flat = np.concatenate(
                [
                    generator.choice(
                        count, top_k, replace=False, p=share / share.sum()
                    )
                    for _ in range(rows)
                ]
            ).astype("int32")
            owner, source, slots = map(
                np.asarray, _layout(ops.array(flat), len(flat), size, count)
            )
            # Every assignment has a place of its own, with its expert.
            assert (source.ravel()[slots] == np.arange(len(flat))).all()
            assert len(set(slots.tolist())) == len(flat)
            assert (owner[slots // size] == flat).all()
            assert source.size <= len(flat) + count * (size - 1)


def test_experts_start_as_dense_mlps_do():
    layer = MixtureOfExperts(8, 2, 64)
    layer.build((None, 32))
    # Glorot: sqrt(2 / (in + out)) for each expert alone.
    contract.close(np.std(layer.gate), (2 / 96) ** 0.5, 0.05)
    flat = np.reshape(layer.gate, (8, -1))
    alike = np.corrcoef(flat) - np.eye(8)
    assert np.abs(alike).max() < 0.2


def test_variable_names_are_api():
    config = contract.CONFIGS["gpt_oss"].replace(
        experts=Experts(count=4, top_k=2, mlp_dim=8, shared=3, router_bias=True)
    )
    found = {
        variable.path.removeprefix("block_0/experts/"): tuple(variable.shape)
        for variable in build_decoder(config).trainable_variables
        if variable.path.startswith("block_0/experts/")
    }
    assert found == {
        "router/kernel": (16, 4),
        "router/bias": (4,),
        "gate": (4, 16, 8),
        "gate_bias": (4, 8),
        "up": (4, 16, 8),
        "up_bias": (4, 8),
        "down": (4, 8, 16),
        "down_bias": (4, 16),
        "shared/gate/kernel": (16, 24),
        "shared/gate/bias": (24,),
        "shared/up/kernel": (16, 24),
        "shared/up/bias": (24,),
        "shared/down/kernel": (24, 16),
        "shared/down/bias": (16,),
    }


def test_words_that_mean_nothing_are_refused():
    with pytest.raises(InputError, match="top_k between 1 and count"):
        MixtureOfExperts(count=2, top_k=3, inner_dim=4)
    with pytest.raises(InputError, match="kind to be one of"):
        MixtureOfExperts(2, 1, 4, kind="relu")
    with pytest.raises(InputError, match="way to be one of"):
        dispatch_by("dense").__enter__()
    with pytest.raises(InputError, match="a model with experts"):
        expert_load(build_decoder(contract.CONFIGS["llama"]), [[1]])


def test_expert_load_counts_choices():
    model = contract.decoder(contract.CONFIGS["mixtral"])
    tokens = contract.tokens_of(3, 7)
    found = expert_load(model, tokens)
    assert found.shape == (3, 4)
    contract.close(found.sum(axis=1), np.ones(3), 1e-6)
    counts = found * tokens.size * 2  # whole numbers of choices
    contract.close(counts, np.round(counts), 1e-5)
    assert (found.max(axis=1) <= 0.5).all()  # nobody is chosen twice
    router = model.get_layer("block_1").mlp.router
    router.kernel.assign(np.zeros(router.kernel.shape))
    assert expert_load(model, tokens)[1].tolist() == [0.5, 0.5, 0.0, 0.0]


# Losses that the layer adds.


def test_losses_by_hand():
    layer = mixture("mixtral", balance_loss=0.5, router_z_loss=0.25)
    x = rows_of(30)
    layer(x)
    assert layer.losses == []  # only in training
    layer(x, training=True)
    scores = x @ np.asarray(layer.router.kernel)
    powers = np.exp(scores)
    chosen = np.argsort(-scores, axis=1)[:, :2]
    fraction = np.bincount(chosen.ravel(), minlength=4) / chosen.size
    probability = (powers / powers.sum(1, keepdims=True)).mean(0)
    balance = 4 * (fraction * probability).sum()
    z = np.square(np.log(powers.sum(1))).mean()
    contract.close(layer.losses, [0.5 * balance, 0.25 * z], 1e-5)


def test_equal_use_costs_one():
    layer = mixture("mixtral", balance_loss=1.0)
    layer.router.kernel.assign(np.eye(HIDDEN)[:, :4] * 1e-3)
    pairs = [(0, 1), (1, 2), (2, 3), (3, 0)]
    x = np.zeros((4, HIDDEN), "float32")
    for row, pair in zip(x, pairs, strict=True):
        row[list(pair)] = 1.0
    layer(x, training=True)
    contract.close(layer.losses, [1.0], 1e-5)
