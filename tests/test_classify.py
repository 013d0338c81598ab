"""Classifiers: the model, its loss, its rows, its settings."""

import dataclasses

import contract
import keras
import numpy as np
import pytest
import served_models
import tensorflow as tf
from labelled_texts import FAMILIES, language_model
from sklearn.utils.class_weight import compute_sample_weight

from keras_llm.classify import (
    Classifier,
    ClassifierSettings,
    Ids,
    ManyLabels,
    OneLabel,
    Pooling,
    sequence_model,
)
from keras_llm.classify.balance import label_weights
from keras_llm.classify.encoding import encode_texts, labelled
from keras_llm.classify.rows import layout, text_rows
from keras_llm.classify.training import rows_of
from keras_llm.errors import InputError
from keras_llm.train import TokenTrainer
from keras_llm.tune import Labelled


def random_rows(lengths: list[int]) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(0, 300, n).astype("int32") for n in lengths]


@pytest.mark.parametrize("kind", ["last", "mean", "attention"])
def test_pooling_is_what_numpy_makes_of_each_text(kind):
    layer = Pooling(kind)
    hidden = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("float32")
    segments = np.array([[1, 1, 2, 2, 0], [1, 0, 0, 0, 0]])
    found = layer(hidden, segments, np.array([[1, 2], [1, 2]])).numpy()

    def pooled(some):
        if kind == "last":
            return some[-1]
        weights = np.ones(len(some))
        if kind == "attention":
            weights = np.exp(some @ np.asarray(layer.score.kernel)[:, 0])
        return (weights / weights.sum()) @ some

    expected = [pooled(hidden[0, :2]), pooled(hidden[0, 2:4])]
    np.testing.assert_allclose(found[0], expected, rtol=1e-5)
    np.testing.assert_allclose(found[1, 0], hidden[1, 0], rtol=1e-5)
    assert np.isfinite(found).all()  # the text that is not there, too


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("pooling", ["last", "mean", "attention"])
def test_texts_in_one_row_are_classified_as_alone(family, pooling):
    lm = language_model(**FAMILIES[family])
    model = sequence_model(lm, 3, pooling)
    documents = random_rows([5, 1, 9, 24, 2, 2])
    rows = text_rows(
        documents, np.arange(6), np.ones(6, "float32"), lm.tokenizer
    )
    together = model(rows.inputs).numpy()
    for number, ids in enumerate(documents):
        [[row, place]] = np.argwhere(
            (rows.targets == number) & (rows.weights > 0)
        )
        alone = model(ids[None]).numpy()[0, 0]
        np.testing.assert_allclose(together[row, place], alone, atol=2e-6)


@pytest.mark.parametrize("family", contract.CONFIGS)
def test_every_family_classifies(family):
    lm = served_models.language_model(family, num_layers=2)
    made = ClassifierSettings(
        labels=("a", "b", "c"), ids=Ids(length=64, end=lm.tokenizer.eos_id)
    )
    classifier = Classifier(sequence_model(lm, 3), lm.tokenizer, made)
    # LongRope's factors are those of the longest text of a row.
    times = 0 if family == "longrope" else 3
    texts = ["a rose", "the king who was upon a time " * times, "said"]
    examples = [
        Labelled(text, (n,)) for text, n in zip(texts, "abc", strict=True)
    ]
    rows, _ = rows_of(examples, lm.tokenizer, made, None)
    together = classifier.model(rows.inputs).numpy()
    together = together[rows.weights > 0][
        np.argsort(rows.targets[rows.weights > 0])
    ]
    np.testing.assert_allclose(
        together, classifier.logits(texts), rtol=1e-4, atol=1e-5
    )


def test_the_decoder_is_shared_and_its_config_kept():
    lm = language_model()
    model = sequence_model(lm.model, 2)
    assert model.config is lm.model.config
    assert model.dtype_policy == lm.model.dtype_policy
    own = {v.path for v in model.weights} - {v.path for v in lm.model.weights}
    assert own == {"classifier/kernel", "classifier/bias"}


def test_a_keras_file_gives_the_same_model_back(tmp_path):
    model = sequence_model(language_model(), 2, "attention", dropout=0.1)
    tokens = np.array([[5, 6, 7]])
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(model(tokens), again(tokens))


def test_a_layout_has_each_token_once_and_texts_apart():
    lengths = np.random.default_rng(1).integers(1, 17, 200).tolist()
    places, segments, owners = layout(lengths, 16)
    used = places[segments > 0]
    assert sorted(used.tolist()) == list(range(sum(lengths)))
    assert sorted(owners[owners >= 0].tolist()) == list(range(200))
    starts = np.cumsum([0, *lengths])
    for row, text in zip(*np.nonzero(owners >= 0), strict=True):
        owner = owners[row, text]
        expected = np.arange(starts[owner], starts[owner + 1])
        found = places[row][segments[row] == text + 1]
        np.testing.assert_array_equal(found, expected)


def batch(many: bool = False):
    lm = language_model()
    model = sequence_model(lm, 3, "mean")
    random = np.random.default_rng(0)
    documents = random_rows([4, 9, 12, 3, 7])
    targets = np.array([2, 0, 1, 1, 2])
    if many:
        targets = random.integers(0, 2, (5, 3)).astype("float32")
    weights = random.uniform(0.5, 2, targets.shape).astype("float32")
    rows = text_rows(documents, targets, weights, lm.tokenizer)
    logits = np.stack(
        [
            keras.ops.convert_to_numpy(model(ids[None]))[0, 0]
            for ids in documents
        ]
    )
    return model, rows, logits, targets, weights


def test_one_label_is_kerass_weighted_cross_entropy():
    model, rows, logits, targets, weights = batch()
    loss = OneLabel()(model, rows.inputs, rows.targets, rows.weights)
    each = keras.losses.sparse_categorical_crossentropy(
        targets, logits, from_logits=True
    ).numpy()
    np.testing.assert_allclose(loss.cross_entropy, each @ weights, rtol=1e-5)
    np.testing.assert_allclose(loss.tokens, weights.sum(), rtol=1e-6)
    right = (logits.argmax(-1) == targets) @ weights
    np.testing.assert_allclose(loss.correct, right, rtol=1e-6)
    assert float(loss.extras[0]) == 35


def test_many_labels_is_tensorflows_sigmoid_cross_entropy():
    model, rows, logits, targets, weights = batch(many=True)
    loss = ManyLabels()(model, rows.inputs, rows.targets, rows.weights)
    each = tf.nn.sigmoid_cross_entropy_with_logits(targets, logits).numpy()
    np.testing.assert_allclose(
        loss.objective, (each * weights).sum(), rtol=1e-5
    )
    right = (((logits > 0) == (targets > 0.5)) * weights).sum()
    np.testing.assert_allclose(loss.correct, right, rtol=1e-6)


def test_micro_batches_give_the_gradient_of_the_whole_batch():
    _, rows, *_ = batch()
    data = rows.batch(np.arange(len(rows)))
    found = []
    for accumulate in (1, 2):
        keras.utils.set_random_seed(3)
        model = sequence_model(language_model(), 3)
        trainer = TokenTrainer(model, accumulate, objective=OneLabel())
        trainer.compile(keras.optimizers.SGD(0.1))
        trainer.train_on_batch(*data)
        found.append(model.get_layer("classifier").kernel.numpy())
    np.testing.assert_allclose(*found, atol=1e-6)


def test_balanced_weights_are_those_of_scikit_learn():
    targets = np.array([0, 0, 0, 1, 2, 2])
    found = label_weights(targets, "abc", "balanced")
    np.testing.assert_allclose(
        found, compute_sample_weight("balanced", targets)
    )
    matrix = np.array([[1, 0], [0, 0], [0, 1], [0, 0]])
    expected = [compute_sample_weight("balanced", c) for c in matrix.T]
    found = label_weights(matrix, "ab", "balanced")
    np.testing.assert_allclose(found, np.transpose(expected))


@pytest.mark.parametrize("given", [{"x": 2}, {"a": 0}, "even"])
def test_weights_of_what_is_no_label_are_refused(given):
    with pytest.raises(InputError, match="Received"):
        label_weights(np.array([0, 1]), ("a", "b"), given)


def test_a_pair_is_cut_where_it_is_longer():
    tokenizer = language_model().tokenizer
    ids = Ids(length=12, start=1, end=2, between=(3,))
    one, two = "red" * 20, "cow"
    short = tokenizer.encode(two)
    [row], cut = encode_texts([(one, two)], tokenizer, ids)
    assert cut == 1 and len(row) == 12
    assert row[-1 - len(short) : -1].tolist() == short
    [row], _ = encode_texts([(one, one)], tokenizer, ids)
    room = 9  # 4 for the second and the rest for the first
    assert row.tolist().index(3) == 1 + room - room // 2


@pytest.mark.parametrize(
    "changes",
    [
        {"threshold": 2},
        {"threshold": (0.5, 0.5)},
        {"labels": ("a",)},
        {"labels": ("a", "a")},
        {"kind": "several"},
        {"temperature": 0},
        {"pooling": "max"},
    ],
)
def test_settings_out_of_range_are_refused(changes):
    good = ClassifierSettings(labels=("a", "b"), ids=Ids(length=8))
    with pytest.raises(InputError, match="Received"):
        dataclasses.replace(good, **changes)


@pytest.mark.parametrize("examples", [["text"], [("a", "b", "c")], [(1, "a")]])
def test_what_is_no_example_is_refused(examples):
    with pytest.raises(InputError, match="number 1"):
        labelled(examples)
