"""Calibration of probabilities, beside SciPy, scikit-learn and by hand."""

import json

import numpy as np
import pytest
from scipy import optimize, special
from sklearn import calibration, metrics

from keras_llm.errors import InputError
from keras_llm.evaluate import (
    CalibrationReport,
    brier_score,
    calibration_error,
    calibration_scores,
    reliability,
    reliability_figure,
)
from keras_llm.evaluate.calibration import reliability_of_cells
from keras_llm.evaluate.finding import Finding, Picture, Table, Words
from keras_llm.evaluate.temperature import least_temperature


@pytest.fixture(scope="module")
def sure():
    """Probabilities of five labels that are too sure, and what is true."""
    random = np.random.default_rng(0)
    logits = random.normal(size=(997, 5)) * 2
    truth = [random.choice(5, p=row) for row in special.softmax(logits, -1)]
    return special.softmax(logits * 1.6, -1), np.array(truth)


def by_hand(p, truth, parts):
    """Gap and size of every part, a list of places of items."""
    top, right = p.max(-1), p.argmax(-1) == truth
    gaps = [abs(top[i].mean() - right[i].mean()) for i in parts if len(i)]
    return np.array(gaps), np.array([len(i) for i in parts if len(i)])


def test_bins_of_equal_width(sure):
    p, truth = sure
    places = np.minimum((p.max(-1) * 15).astype(int), 14)
    parts = [np.flatnonzero(places == i) for i in range(15)]
    gaps, sizes = by_hand(p, truth, parts)
    expected = (gaps * sizes).sum() / sizes.sum()
    assert calibration_error(p, truth) == pytest.approx(expected, abs=1e-12)
    assert calibration_error(p, truth, kind="maximum") == pytest.approx(
        gaps.max(), abs=1e-12
    )


def test_bins_of_equal_mass(sure):
    p, truth = sure
    parts = np.array_split(np.argsort(p.max(-1), kind="stable"), 10)
    found = reliability(p, truth, bins=10, equal_mass=True)
    assert found.counts.min() >= 99 and found.counts.max() <= 100
    gaps, _ = by_hand(p, truth, parts)
    error = calibration_error(p, truth, bins=10, kind="adaptive")
    # array_split puts the longer parts first; ours are spread
    assert error == pytest.approx(gaps.mean(), abs=0.01)
    sized = p[:990], truth[:990]
    parts = np.array_split(np.argsort(sized[0].max(-1), kind="stable"), 10)
    gaps, _ = by_hand(*sized, parts)
    error = calibration_error(*sized, bins=10, kind="adaptive")
    assert error == pytest.approx(gaps.mean(), abs=1e-12)


def test_a_yes_or_no_is_binned_as_scikit_learn_bins_it():
    random = np.random.default_rng(0)
    p = random.uniform(0.5, 1.0, 500)  # of "yes", always the likelier
    truth = (random.random(500) < p).astype(int)
    table = reliability(np.stack([1 - p, p], -1), truth, bins=10)
    accuracy, confidence = calibration.calibration_curve(truth, p, n_bins=10)
    np.testing.assert_allclose(table.accuracy, accuracy, atol=1e-12)
    np.testing.assert_allclose(table.confidence, confidence, atol=1e-12)


def test_brier_scores_are_scikit_learns(sure):
    p, truth = sure
    one_hot = np.eye(5)[truth]
    expected = np.mean(np.sum((p - one_hot) ** 2, axis=1))  # the harness's
    assert brier_score(p, truth) == pytest.approx(expected, abs=1e-12)
    theirs = metrics.brier_score_loss(truth, p, scale_by_half=False)
    assert brier_score(p, truth) == pytest.approx(theirs, abs=1e-9)
    yes = (truth == 0).astype(int)
    theirs = metrics.brier_score_loss(yes, p[:, 0])
    assert brier_score(p[:, 0], yes) == pytest.approx(theirs, abs=1e-12)
    many = brier_score(p, one_hot.astype(int))
    assert many == pytest.approx(expected / 5, abs=1e-12)


def test_all_scores_at_once(sure):
    p, truth = sure
    found = calibration_scores(p, truth)
    assert found.items == 997
    assert found.loss == pytest.approx(metrics.log_loss(truth, p), abs=1e-9)
    expected = special.entr(p).sum(-1).mean()
    assert found.entropy == pytest.approx(expected, abs=1e-12)
    assert found.entropy < found.loss and found.accuracy < found.confidence
    assert found.expected_error == calibration_error(p, truth)
    assert sum(row["counts"] for row in found.bins) == 997
    many = calibration_scores(p, np.eye(5, dtype=int)[truth])
    assert many.items == 997 * 5


def test_the_temperature_is_the_one_scipy_finds(sure):
    p, truth = sure
    logits = np.log(p)

    def loss(t):
        return metrics.log_loss(truth, special.softmax(logits / t, -1))

    best = optimize.minimize_scalar(
        loss, bounds=(0.1, 10), method="bounded", options={"xatol": 1e-9}
    ).x

    def losses(temperatures):
        return [loss(t) for t in temperatures]

    assert least_temperature(losses) == pytest.approx(best, rel=1e-5)
    rough = least_temperature(losses, looks=2, points=12)
    assert rough == pytest.approx(best, rel=3e-3)
    assert 1.3 < best < 1.9


def test_without_a_least_loss_the_temperature_ends_the_range():
    assert least_temperature(np.log) == pytest.approx(0.02)  # all are right
    assert least_temperature(np.negative) == pytest.approx(50)
    assert 0.02 <= least_temperature(np.ones_like) <= 50


def test_whole_cells_go_into_bins_by_their_mean():
    cells = np.array([[2.0, 0.0, 2.0], [0.8, 0.0, 1.8], [1.0, 0.0, 2.0]])
    table = reliability_of_cells(cells, bins=2)
    assert table.counts.tolist() == [2.0, 2.0]
    assert table.confidence.tolist() == [0.4, 0.9]
    halves = reliability_of_cells(cells, bins=2, equal_mass=True)
    assert halves.accuracy.tolist() == [0.5, 1.0]


@pytest.fixture
def report(sure):
    p, truth = sure
    raw = calibration_scores(p, truth)
    better = special.softmax(np.log(p) / 1.6, -1)
    return CalibrationReport(
        title="Calibration",
        name="calibration",
        unit="texts",
        raw=raw,
        calibrated=calibration_scores(better, truth),
        temperature=1.6,
        fitted_on=12,
    )


def test_a_report_is_a_finding(report):
    assert isinstance(report, Finding)
    measures = report.measures()
    before = measures["calibration/ece"]
    after = measures["calibration/calibrated_ece"]
    assert after.value < before.value and before.higher_is_better is False
    assert measures["calibration/temperature"].value == 1.6
    words, scores, picture, bins = report.blocks()
    assert isinstance(words, Words) and "too sure of itself" in words.text
    assert "found on 12 other texts" in words.text
    assert isinstance(scores, Table) and isinstance(bins, Table)
    assert isinstance(picture, Picture) and len(picture.figure.axes) == 4
    assert json.loads(json.dumps(report.to_dict()))["raw"]["items"] == 997


def test_diagrams_fit_a_file(report, tmp_path):
    figure = reliability_figure({"raw": report.raw.bins})
    figure.savefig(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes()[1:4] == b"PNG"


def test_a_bin_of_few_items_is_hollow_and_two_labels_begin_at_a_half():
    bins = [
        {"counts": 2.0, "confidence": 0.6, "accuracy": 0.5},
        {"counts": 9.0, "confidence": 0.9, "accuracy": 1.0},
    ]
    above, below = reliability_figure({"raw": bins}).axes
    many, few = above.collections
    assert many.get_offsets().tolist() == [[0.9, 1.0]]
    assert few.get_offsets().tolist() == [[0.6, 0.5]]
    assert few.get_facecolor().tolist() == [[1.0, 1.0, 1.0, 1.0]]
    assert above.get_xlim()[0] == pytest.approx(0.48)
    low = [{"counts": 9.0, "confidence": 0.3, "accuracy": 0.3}]
    above, _ = reliability_figure({"raw": low}).axes
    assert above.get_xlim()[0] == pytest.approx(-0.02)


def test_mistakes_are_sentences(sure):
    with pytest.raises(InputError, match="'expected', 'adaptive', 'maximum'"):
        calibration_error(*sure, kind="mean")
