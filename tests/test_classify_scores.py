"""Temperatures, thresholds and scores, beside SciPy's and scikit-learn's."""

import numpy as np
import pytest
from labelled_texts import BEASTS, COLOURS, language_model
from scipy import optimize, special
from sklearn import metrics

from keras_llm.classify import (
    Classifier,
    ClassifierSettings,
    Ids,
    calibrate,
    calibration_error,
    calibration_report,
    choose_threshold,
    classification_report,
    evaluate,
    plot_curve,
    scores,
    sequence,
    sequence_model,
)
from keras_llm.classify.calibration import best_temperature
from keras_llm.errors import InputError
from keras_llm.evaluate import Finding, mean_loss


def noisy(texts: int = 400, classes: int = 3, seed: int = 0):
    """Logits that are too large by half, and what is true."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(texts, classes)) * 2
    chances = special.softmax(logits, -1)
    truth = [random.choice(classes, p=row) for row in chances]
    return logits * 1.5, np.array(truth)


@pytest.mark.parametrize("many", [False, True])
def test_the_temperature_is_the_one_scipy_finds(many):
    logits, truth = noisy()
    if many:
        random = np.random.default_rng(1)
        truth = (random.random(logits.shape) < special.expit(logits / 1.5)) * 1

    def loss(temperature):
        scaled = logits / temperature
        if many:
            return mean_loss(special.expit(scaled), truth)
        return mean_loss(special.softmax(scaled, -1), truth)

    expected = optimize.minimize_scalar(
        loss, bounds=(0.1, 10), method="bounded", options={"xatol": 1e-9}
    ).x
    found = best_temperature(logits, truth)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert 1.2 < found < 1.9  # the logits were 1.5 times too large


def test_the_loss_is_scikit_learns():
    logits, truth = noisy()
    chances = special.softmax(logits, -1)
    expected = metrics.log_loss(truth, chances)
    np.testing.assert_allclose(mean_loss(chances, truth), expected, rtol=1e-6)


def test_the_calibration_error_is_that_of_bins_made_by_hand():
    logits, truth = noisy()
    chances = special.softmax(logits, -1)
    sure, right = chances.max(-1), chances.argmax(-1) == truth
    edges, expected = np.linspace(0, 1, 11), 0.0
    for low, high in zip(edges, edges[1:], strict=False):
        inside = (sure >= low) & (sure < high)
        if inside.any():
            gap = abs(sure[inside].mean() - right[inside].mean())
            expected += inside.mean() * gap
    found = calibration_error(chances, truth, bins=10)
    np.testing.assert_allclose(found, expected)


def test_calibration_changes_no_label_and_lowers_the_loss():
    lm = language_model()
    settings = ClassifierSettings(
        labels=("beast", "colour"), ids=Ids(length=24)
    )
    classifier = Classifier(sequence_model(lm, 2), lm.tokenizer, settings)
    data = COLOURS + BEASTS
    better, found = calibrate(classifier, data)
    assert found.loss_after <= found.loss_before
    assert better.temperature == found.temperature
    texts = [text for text, _ in data]
    assert better.predict(texts) == classifier.predict(texts)
    with pytest.raises(InputError, match="none"):
        calibrate(classifier, [])


@pytest.mark.parametrize("metric", ["f1", "accuracy", "precision"])
def test_a_threshold_is_the_best_of_all(metric):
    random = np.random.default_rng(0)
    p = random.random(60).round(2)  # some are equal
    truth = (random.random(60) < p).astype(int)
    value, score = choose_threshold(p, truth, metric, recall=0.8)

    def reached(limit):
        given = (p >= limit).astype(int)
        if metric == "precision":
            enough = metrics.recall_score(truth, given) >= 0.8
            found = metrics.precision_score(truth, given, zero_division=0.0)
            return found * enough
        function = {
            "f1": metrics.f1_score,
            "accuracy": metrics.accuracy_score,
        }[metric]
        return function(truth, given)

    np.testing.assert_allclose(reached(value), score)
    every = [reached(limit) for limit in np.linspace(0, 1.01, 500)]
    np.testing.assert_allclose(max(every), score)


def test_each_label_has_a_threshold_of_its_own():
    random = np.random.default_rng(0)
    p = random.random((50, 3))
    truth = (random.random((50, 3)) < p).astype(int)
    values, found = choose_threshold(p, truth)
    for place in range(3):
        one = choose_threshold(p[:, place], truth[:, place])
        assert (values[place], found[place]) == one


def test_a_threshold_without_a_text_of_the_label_is_refused():
    with pytest.raises(InputError, match="none of 3"):
        choose_threshold(np.ones(3), np.zeros(3))
    with pytest.raises(InputError, match="one shape"):
        choose_threshold(np.ones((3, 2)), np.zeros(3))


def test_thresholds_decide():
    lm = language_model()
    ids = Ids(length=24)
    settings = ClassifierSettings(labels=("a", "b"), ids=ids, threshold=0.1)
    one = Classifier(sequence_model(lm, 2), lm.tokenizer, settings)
    p = np.array([[0.85, 0.15], [0.95, 0.05]])
    assert one.chosen(p) == ["b", "a"]
    many = ClassifierSettings(
        labels=("a", "b"), ids=ids, kind="multi", threshold=(0.9, 0.1)
    )
    several = Classifier(sequence_model(lm, 2), lm.tokenizer, many)
    assert several.chosen(p) == [("b",), ("a",)]
    assert several.replace(threshold=None).chosen(p) == [("a",), ("a",)]


def test_scores_are_scikit_learns():
    random = np.random.default_rng(0)
    truth, found = random.integers(0, 3, (2, 50))
    ours = scores(truth, found, "abc")
    report = metrics.classification_report(
        truth, found, target_names=list("abc"), output_dict=True
    )
    assert ours["labels"]["b"]["f1"] == report["b"]["f1-score"]
    np.testing.assert_allclose(
        ours["macro_f1"], report["macro avg"]["f1-score"]
    )
    assert sum(map(sum, ours["confusion"])) == 50
    np.testing.assert_allclose(
        ours["mcc"], metrics.matthews_corrcoef(truth, found)
    )
    matrix = random.integers(0, 2, (2, 50, 3))
    ours = scores(*matrix, "abc")
    assert "confusion" not in ours
    expected = metrics.f1_score(*matrix, average="micro")
    np.testing.assert_allclose(ours["micro_f1"], expected)


def test_evaluation_counts_what_was_predicted():
    classifier = sequence(
        language_model(), COLOURS + BEASTS, steps=40, learning_rate=0.02
    )
    found = evaluate(classifier, COLOURS)
    predicted = classifier.predict([text for text, _ in COLOURS])
    assert found["accuracy"] == np.mean([p == "colour" for p in predicted])
    assert found["labels"]["colour"]["support"] == 9


def test_evaluation_and_calibration_are_findings():
    lm = language_model()
    settings = ClassifierSettings(
        labels=("beast", "colour"), ids=Ids(length=24), temperature=2.0
    )
    classifier = Classifier(sequence_model(lm, 2), lm.tokenizer, settings)
    data = COLOURS + BEASTS
    report = classification_report(classifier, data, name="colours")
    assert isinstance(report, Finding)
    assert report.to_dict() == evaluate(classifier, data)
    measure = report.measures()["colours/loss"]
    assert measure.value == evaluate(classifier, data)["loss"]
    assert (measure.count, measure.higher_is_better) == (len(data), False)
    found = calibration_report(classifier, data)
    assert isinstance(found, Finding) and found.temperature == 2.0
    assert found.calibrated.loss == measure.value
    plain = classifier.replace(temperature=1.0)
    assert found.raw.loss == evaluate(plain, data)["loss"]
    for mistake in (classification_report, calibration_report):
        with pytest.raises(InputError, match="none|at least one text"):
            mistake(classifier, [])


def test_a_picture_needs_matplotlib(monkeypatch, tmp_path, capsys):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert not plot_curve([], tmp_path / "curve.png")
    assert "keras_llm[viz]" in capsys.readouterr().err
