"""Metrics of a fit, beside scikit-learn, plain loops and Keras' own."""

import keras
import numpy as np
import pytest
from scipy import special
from sklearn import metrics

from keras_llm import BytePairTokenizer, DecoderConfig, build_decoder
from keras_llm.errors import InputError
from keras_llm.evaluate import (
    BitsPerByte,
    ExpectedCalibrationError,
    GenerationMetrics,
    MacroF1,
    MatthewsCorrelation,
    Perplexity,
    calibration_error,
)
from keras_llm.train import fit


@pytest.fixture(scope="module")
def batches():
    """Rows of two widths, with weights: ids, logits, weights of tokens."""
    random = np.random.default_rng(0)
    return [
        (
            random.integers(0, 7, (rows, time)),
            random.normal(size=(rows, time, 7)).astype("float32") * 2,
            random.integers(0, 2, (rows, time)).astype("float32"),
        )
        for rows, time in ((3, 5), (2, 9))
    ]


def nats_of(batches):
    logs = [special.log_softmax(logits, -1) for _, logits, _ in batches]
    own = [
        -np.take_along_axis(one, ids[..., None], -1)[..., 0]
        for one, (ids, _, _) in zip(logs, batches, strict=True)
    ]
    weights = [weight for _, _, weight in batches]
    total = sum((a * b).sum() for a, b in zip(own, weights, strict=True))
    return total / sum(weight.sum() for weight in weights)


def test_every_token_counts_the_same_in_rows_of_any_length(batches):
    perplexity, bits = Perplexity(), BitsPerByte(bytes_per_token=3.5)
    for metric in (perplexity, bits):
        for batch in batches:
            metric.update_state(*batch)
    nats = nats_of(batches)
    assert float(perplexity.result()) == pytest.approx(np.exp(nats), rel=1e-5)
    expected = nats / np.log(2) / 3.5
    assert float(bits.result()) == pytest.approx(expected, rel=1e-5)
    # what Keras' own does, and why these are classes of their own
    theirs = keras.metrics.SparseCategoricalCrossentropy(from_logits=True)
    for batch in batches:
        theirs.update_state(*batch)
    assert abs(float(theirs.result()) - nats) > 1e-3


def test_perplexity_is_that_of_keras_hub(batches):
    hub = pytest.importorskip("keras_hub", reason="KerasHub is not installed")
    theirs = hub.metrics.Perplexity(from_logits=True)
    ours = Perplexity()
    for ids, logits, weights in batches[:1]:
        theirs.update_state(ids, logits, weights)
        ours.update_state(ids, logits, weights)
    found, expected = float(ours.result()), float(theirs.result())
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.fixture(scope="module")
def labelled():
    random = np.random.default_rng(0)
    logits = random.normal(size=(60, 4)).astype("float32") * 2
    truth = random.integers(0, 3, 60)  # the last label is never true
    likely = random.random(60) < 0.5
    logits[likely, truth[likely]] += 3
    return truth, logits, special.softmax(logits, -1)


@pytest.mark.parametrize("weighted", [False, True])
def test_label_metrics_are_scikit_learns(labelled, weighted):
    truth, logits, _ = labelled
    weights = np.arange(60, dtype="float32") % 3 if weighted else None
    macro, matthews = MacroF1(4), MatthewsCorrelation(4)
    for metric in (macro, matthews):
        for part in (slice(0, 20), slice(20, 60)):
            some = None if weights is None else weights[part]
            metric.update_state(truth[part], logits[part], some)
    said = logits.argmax(-1)
    expected = metrics.f1_score(
        *(truth, said),
        labels=range(4),
        average="macro",
        zero_division=0.0,
        sample_weight=weights,
    )
    assert float(macro.result()) == pytest.approx(expected, abs=1e-6)
    expected = metrics.matthews_corrcoef(truth, said, sample_weight=weights)
    assert float(matthews.result()) == pytest.approx(expected, abs=1e-6)


def test_macro_f1_is_keras_own_of_one_hot_labels(labelled):
    truth, _, p = labelled
    ours, theirs = MacroF1(4), keras.metrics.F1Score(average="macro")
    ours.update_state(truth, p)
    theirs.update_state(np.eye(4)[truth], p)
    assert float(ours.result()) == pytest.approx(float(theirs.result()))


@pytest.mark.parametrize("from_logits", [False, True])
def test_the_calibration_error_is_that_of_arrays(labelled, from_logits):
    truth, logits, p = labelled
    metric = ExpectedCalibrationError(bins=8, from_logits=from_logits)
    given = logits if from_logits else p
    for part in (slice(0, 25), slice(25, 60)):
        metric.update_state(truth[part], given[part])
    expected = calibration_error(p, truth, bins=8)
    assert float(metric.result()) == pytest.approx(expected, abs=1e-6)
    weights = np.arange(60) % 3
    metric.reset_state()
    metric.update_state(truth, given, weights)
    again = np.repeat(np.arange(60), weights)
    expected = calibration_error(p[again], truth[again], bins=8)
    assert float(metric.result()) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    "metric",
    [
        Perplexity(from_logits=False),
        BitsPerByte(4.5),
        MacroF1(3),
        MatthewsCorrelation(3),
        ExpectedCalibrationError(7, from_logits=True),
    ],
    ids=lambda metric: metric.name,
)
def test_metrics_are_saved_and_start_from_nothing(metric):
    saved = keras.saving.serialize_keras_object(metric)
    again = keras.saving.deserialize_keras_object(saved)
    assert type(again) is type(metric)
    assert again.get_config() == metric.get_config()
    assert float(again.result()) == (1.0 if again.name == "perplexity" else 0)


TEXTS = ["a rose is a rose", "a thorn is a thorn"]


@pytest.fixture
def parts():
    tokenizer = BytePairTokenizer.train(TEXTS, 270)
    config = DecoderConfig(
        vocabulary_size=270,
        context_length=12,
        num_layers=1,
        hidden_dim=8,
        num_heads=2,
    )
    rows = [tokenizer.encode(text)[:6] for text in TEXTS * 4]
    ids = np.array([row + [0] * (7 - len(row)) for row in rows], "int32")
    look = GenerationMetrics(
        *(tokenizer, ["a rose", "a thorn"], [" is a rose", [" is", " x"]]),
        metrics=["exact_match", "token_f1", "bleu"],
        every=2,
        max_new_tokens=3,
    )
    return build_decoder(config), ids, look


def test_a_fit_of_keras_counts_and_generates(parts):
    decoder, ids, look = parts
    decoder.compile(
        "adam",
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[Perplexity()],
    )
    x, y = ids[:, :-1], ids[:, 1:]
    history = decoder.fit(x, y, epochs=3, verbose=0, callbacks=[look]).history
    assert [one["epoch"] for one in look.history] == [1, 2]  # the last, too
    assert history["perplexity"][-1] > 1
    assert len(history["generation/token_f1"]) == 2
    assert look.report is not None
    assert look.report.prompts == ["a rose", "a thorn"]
    found = look.report.measures()["generation/bleu"].value
    assert found == look.history[-1]["generation/bleu"]
    said = look._lm.generate(look.prompts, max_new_tokens=3)
    assert said == list(look.report.predictions)


def test_a_fit_stops_where_the_texts_get_no_better(parts):
    decoder, ids, look = parts
    look.every = 1
    decoder.compile("sgd", keras.losses.SparseCategoricalCrossentropy(True))
    stop = keras.callbacks.EarlyStopping("generation/token_f1", mode="max")
    x, y = ids[:, :-1], ids[:, 1:]
    decoder.fit(x, y, epochs=9, verbose=0, callbacks=[look, stop])
    assert len(look.history) == 2  # no better in the second epoch


def test_our_own_fit_takes_the_callback(parts):
    decoder, ids, look = parts
    data = (
        {
            "tokens": ids[:, :-1],
            "positions": np.tile(np.arange(6, dtype="int32"), (len(ids), 1)),
            "segments": np.ones_like(ids[:, :-1]),
        },
        ids[:, 1:],
    )
    import tensorflow as tf

    rows = tf.data.Dataset.from_tensor_slices(data).repeat(4)
    fit(
        *(decoder, rows.batch(4, drop_remainder=True)),
        steps=6,
        batch_size=4,
        log_every=2,
        ema=0.5,
        callbacks=[look],
    )
    assert [one["step"] for one in look.history] == [4, 6]
    assert set(look.history[0]) == {
        *("epoch", "step", "generation/exact_match"),
        *("generation/token_f1", "generation/bleu"),
    }


def test_mistakes_are_said_before_training():
    tokenizer = BytePairTokenizer.train(TEXTS, 270)
    with pytest.raises(InputError, match="as many references"):
        GenerationMetrics(tokenizer, ["a"], [])
    with pytest.raises(InputError, match="Received: rogue"):
        GenerationMetrics(tokenizer, ["a"], ["b"], metrics=["rogue"])
    with pytest.raises(InputError, match="bytes_per_token above zero"):
        BitsPerByte(0)
