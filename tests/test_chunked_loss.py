"""The loss in chunks against the loss of whole logits."""

import functools
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_run
from keras import ops

from keras_llm import estimate_memory
from keras_llm.errors import InputError
from keras_llm.train import TokenTrainer, token_loss
from keras_llm.train.chunked_loss import (
    ROOM,
    WHOLE,
    ChunkedLoss,
    chunked_loss,
)
from keras_llm.train.losses import compiled_token_loss

HEADS = {
    "tied": {},
    "untied": {"tie_embeddings": False},
    "soft_cap": {"tie_embeddings": False, "final_softcap": 3.0},
    "scaled": {"embed_scale": 4.0, "final_softcap": 3.0},
}
LOSSES = {
    "plain": {},
    "both": {"z_loss": 1e-2, "label_smoothing": 0.1},
}


@pytest.fixture
def batch():
    random = np.random.default_rng(0)
    tokens, targets = random.integers(0, 50, (2, 6, 8)).astype("int32")
    weights = (random.random((6, 8)) < 0.6).astype("float32")
    weights[2] = 0
    return tokens, targets, weights


def whole(model, tokens, targets, weights, loss, training=False):
    return loss(model(tokens, training=training), targets, weights)


def gradients(model, compute):
    """The sums and the gradients of all variables, in one graph."""
    variables = [variable.value for variable in model.trainable_variables]

    @tf.function(autograph=False)
    def run():
        with tf.GradientTape() as tape:
            found = compute()
        return found, [
            tf.convert_to_tensor(gradient)
            for gradient in tape.gradient(
                found.objective,
                variables,
                unconnected_gradients=tf.UnconnectedGradients.ZERO,
            )
        ]

    return run()


@pytest.mark.parametrize(
    ("head", "options", "chunk"),
    [*((head, "both", 19) for head in HEADS), ("tied", "plain", 1)],
)
def test_equals_whole_logits(batch, head, options, chunk):
    model = tiny_run.build(dropout=0.0, **HEADS[head])
    loss = functools.partial(token_loss, **LOSSES[options])
    sliced = ChunkedLoss(model, chunk)
    found, ours = gradients(model, lambda: sliced(*batch, loss, training=True))
    expected, theirs = gradients(model, lambda: whole(model, *batch, loss))
    np.testing.assert_allclose(found[:4], expected[:4], rtol=1e-5)
    np.testing.assert_allclose(
        sliced(*batch, loss)[:4], expected[:4], rtol=1e-5
    )
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_ties_share_the_hit():
    model = tiny_run.build(dropout=0.0)
    for variable in model.variables:
        variable.assign(ops.zeros_like(variable))  # all logits are zero
    tokens = np.arange(16, dtype="int32").reshape(2, 8)
    loss = ChunkedLoss(model, 4)(tokens, tokens, np.ones((2, 8)), token_loss)
    assert float(loss.correct) == pytest.approx(16 / 50)


def test_mixed_precision_rounds_as_the_decoder_does(batch):
    model = tiny_run.build(dropout=0.0, dtype="mixed_bfloat16")
    loss = functools.partial(compiled_token_loss(), z_loss=0.0)
    sliced = ChunkedLoss(model, 12)
    found, ours = gradients(model, lambda: sliced(*batch, loss, training=True))
    expected, theirs = gradients(model, lambda: whole(model, *batch, loss))
    np.testing.assert_array_equal(found[:4], expected[:4])
    for one, other in zip(ours, theirs, strict=True):
        error = np.abs(one - other).max()
        assert error <= 2**-7 * max(1, np.abs(other).max())


def test_the_logits_are_never_there_at_once():
    """No tensor of the compiled step is as large as all logits."""
    model = tiny_run.build(dropout=0.0, vocabulary_size=4000, hidden_dim=4)
    shape = (4, 8)
    tokens = tf.ones(shape, tf.int32)
    sizes = {}
    for name, chunk in (("whole", None), ("sliced", 4)):
        trainer = TokenTrainer(model, loss_chunk=chunk)
        trainer.compile("sgd", jit_compile=True)
        graph = tf.function(
            lambda weights, trainer=trainer: trainer._gradients(
                (tokens, tokens, weights), 1.0
            ),
            autograph=False,
        ).get_concrete_function(tf.TensorSpec(shape))
        shapes = [
            output.shape
            for inner in (graph.graph, *_bodies(graph.graph))
            for operation in inner.get_operations()
            for output in operation.outputs
        ]
        sizes[name] = max(
            int(np.prod(s)) // 4000
            for s in shapes
            if s.rank and s.is_fully_defined() and s[-1] == 4000
        )
    assert sizes == {"whole": 32, "sliced": 4}


def _bodies(graph):
    """The graphs of the loops within a graph."""
    from tensorflow.python.framework import function_def_to_graph

    return [
        function_def_to_graph.function_def_to_graph(f.cached_definition)
        for f in graph._functions.values()
    ]


def fitted(batch, chunk, jit, **options):
    """Weights and logs after two epochs of three steps, then scores."""
    tokens, targets, weights = (np.concatenate([x] * 4) for x in batch)
    model = tiny_run.build(**options)
    trainer = TokenTrainer(
        model, 2, 1.0, z_loss=1e-3, label_smoothing=0.1, loss_chunk=chunk
    )
    trainer.compile(keras.optimizers.SGD(0.3), jit_compile=jit)
    data = tf.data.Dataset.from_tensor_slices((tokens, targets, weights))
    data = data.batch(10)  # the last batch is smaller
    logs = trainer.fit(data, epochs=2, shuffle=False, verbose=0).history
    return model.get_weights(), logs, trainer.evaluate(data, verbose=0)


@pytest.mark.parametrize(
    "jit", [False, pytest.param(True, marks=pytest.mark.slow)]
)
def test_fit_and_evaluate_are_the_same(batch, jit):
    ours, logs, score = fitted(batch, 12, jit)
    theirs, expected, expected_score = fitted(batch, None, jit)
    for one, other in zip(ours, theirs, strict=True):
        assert np.abs(one - other).max() <= 1e-5
    for name, values in expected.items():
        np.testing.assert_allclose(logs[name], values, rtol=1e-5)
    np.testing.assert_allclose(score, expected_score, rtol=1e-5)


def test_whole_run_is_the_same(tmp_path):
    rows = tiny_run.write_rows(tmp_path / "rows")
    runs = {
        chunk: tiny_run.train(rows, None, loss_chunk=chunk)
        for chunk in (None, 8)
    }
    assert runs[8].loss == pytest.approx(runs[None].loss, rel=1e-5)
    assert runs[8].validation_loss == pytest.approx(
        runs[None].validation_loss, rel=1e-5
    )


def test_auto_slices_what_is_large():
    sliced = ChunkedLoss(tiny_run.build(), "auto")
    most = WHOLE // 50
    assert not sliced.slices((1, most))
    assert sliced.slices((1, most + 1))
    assert sliced.slices((None, 8))
    assert not ChunkedLoss(tiny_run.build(), 16).slices((2, 8))


def test_what_has_another_head_is_refused():
    other = keras.Sequential(
        [keras.Input((None,)), keras.layers.Embedding(8, 8)]
    )
    assert chunked_loss(other, "auto") is None
    with pytest.raises(InputError, match="from build_decoder .* Sequential"):
        TokenTrainer(other, loss_chunk=8)
    model = tiny_run.build()
    with pytest.raises(InputError, match="loss_chunk to be a number"):
        TokenTrainer(model, loss_chunk=0)
    model.get_layer("token_embedding").quantize("int8")
    with pytest.raises(InputError, match="one kernel .* int8"):
        TokenTrainer(model, loss_chunk=8)


IN_JAX = """
import functools, json, sys
import jax, numpy as np, tiny_run
from keras_llm.train import token_loss
from keras_llm.train.chunked_loss import ChunkedLoss

random = np.random.default_rng(0)
tokens, targets = random.integers(0, 50, (2, 6, 8)).astype("int32")
weights = (random.random((6, 8)) < 0.6).astype("float32")
loss = functools.partial(token_loss, z_loss=1e-2, label_smoothing=0.1)
worst = []
for head in json.loads(sys.argv[1]):
    model = tiny_run.build(dropout=0.0, **head)
    sliced = ChunkedLoss(model, 19)
    import keras

    def objective(values, chunked):
        mapping = list(zip(model.trainable_variables, values))
        with keras.StatelessScope(state_mapping=mapping):
            if chunked:
                found = sliced(tokens, targets, weights, loss, training=True)
            else:
                found = loss(model(tokens), targets, weights)
        return found.objective, found

    gradient = jax.jit(
        jax.grad(objective, has_aux=True), static_argnums=1
    )
    values = [variable.value for variable in model.trainable_variables]
    whole, chunked = gradient(values, False), gradient(values, True)
    differences = jax.tree.map(
        lambda a, b: float(abs(a - b).max() / (1 + abs(a).max())),
        whole, chunked,
    )
    worst.append(max(jax.tree.leaves(differences)))
print(json.dumps(worst))
"""


def test_equals_whole_logits_on_jax():
    done = subprocess.run(
        [sys.executable, "-c", IN_JAX, json.dumps(list(HEADS.values()))],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        cwd=os.path.dirname(__file__),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    worst = json.loads(done.stdout.splitlines()[-1])
    assert len(worst) == len(HEADS)
    assert max(worst) < 1e-5


def test_the_estimate_slices_as_training_does():
    assert (estimate_memory.SLICE, estimate_memory.WHOLE) == (ROOM, WHOLE)
