"""Scores of classifiers of real texts, beside scikit-learn's."""

import json

import numpy as np
import pytest
from sklearn import metrics
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import LogisticRegression

from keras_llm.classify import span_report, span_scores
from keras_llm.errors import InputError
from keras_llm.evaluate import (
    calibration_error,
    classification_scores,
    confusion_figure,
    reliability,
    roc_auc,
)
from keras_llm.evaluate.finding import Finding, Picture, Table
from keras_llm.evaluate.label_counts import label_errors
from keras_llm.tune import read_tagged

LANGUAGES = ("deu", "fra", "spa", "tur")


def learned(texts, targets, words):
    """Probabilities of a weak classifier for the second half of texts."""
    options = {} if words else {"analyzer": "char", "ngram_range": (1, 2)}
    features = HashingVectorizer(n_features=64, **options).transform(texts)
    half = len(texts) // 2
    model = LogisticRegression().fit(features[:half], targets[:half])
    return targets[half:], model.predict_proba(features[half:])


@pytest.fixture(scope="module")
def spam(shared_data):
    lines = (shared_data / "sms_spam/sms.tsv").read_text("utf-8").splitlines()
    rows = [line.split("\t", 1) for line in lines[:2000]]
    targets = np.array([label == "spam" for label, _ in rows]).astype(int)
    return learned([text for _, text in rows], targets, words=True)


@pytest.fixture(scope="module")
def languages(shared_data):
    texts, targets = [], []
    for place, name in enumerate(LANGUAGES):
        path = shared_data / f"tatoeba/tatoeba.{name}-eng.{name}"
        texts += path.read_text("utf-8").splitlines()[:300]
        targets += [place] * 300
    order = np.random.default_rng(0).permutation(len(texts))
    texts, targets = [texts[i] for i in order], np.array(targets)[order]
    return learned(texts, targets, words=False)


def test_two_labels_score_as_in_scikit_learn(spam):
    truth, p = spam
    report = classification_scores(truth, p, ("ham", "spam"), name="spam")
    found = {
        name.removeprefix("spam/"): one.value
        for name, one in report.measures().items()
    }
    said = p.argmax(-1)
    expected = {
        "accuracy": metrics.accuracy_score(truth, said),
        "auc": metrics.roc_auc_score(truth, p[:, 1]),
        "loss": metrics.log_loss(truth, p),
        "brier": 2 * metrics.brier_score_loss(truth, p[:, 1]),
        "mcc": metrics.matthews_corrcoef(truth, said),
        "macro_precision": metrics.precision_score(
            truth, said, average="macro"
        ),
        "macro_recall": metrics.balanced_accuracy_score(truth, said),
        "macro_f1": metrics.f1_score(truth, said, average="macro"),
    }
    assert 0.5 < expected["auc"] < 0.99  # it makes mistakes
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-9), name
    assert found["micro_f1"] == pytest.approx(found["accuracy"], abs=1e-12)
    assert found["calibration_error"] == calibration_error(p, truth)


def test_several_labels_score_as_in_scikit_learn(languages):
    truth, p = languages
    said = p.argmax(-1)
    numbers = classification_scores(truth, p, LANGUAGES).numbers
    theirs = metrics.classification_report(
        truth, said, target_names=LANGUAGES, output_dict=True
    )
    for name in LANGUAGES:
        row, own = theirs[name], numbers["labels"][name]
        found = (own["precision"], own["recall"], own["f1"], own["support"])
        expected = [row[k] for k in ("precision", "recall", "f1-score")]
        assert found == pytest.approx((*expected, row["support"]), abs=1e-9)
    expected = metrics.roc_auc_score(truth, p, multi_class="ovr")
    assert numbers["auc"] == pytest.approx(expected, abs=1e-9)
    assert numbers["mcc"] == pytest.approx(
        metrics.matthews_corrcoef(truth, said), abs=1e-9
    )
    table = metrics.confusion_matrix(truth, said)
    assert numbers["confusion"] == table.tolist()
    expected = metrics.brier_score_loss(truth, p, scale_by_half=False)
    assert numbers["brier"] == pytest.approx(expected, abs=1e-9)


def test_many_labels_score_as_in_scikit_learn():
    random = np.random.default_rng(0)
    p = random.random((80, 3))
    truth = (random.random((80, 3)) < p).astype(int)
    numbers = classification_scores(truth, p, "abc").numbers
    said = (p >= 0.5).astype(int)
    for mean in ("macro", "micro"):
        expected = metrics.precision_recall_fscore_support(
            truth, said, average=mean
        )
        kinds = ("precision", "recall", "f1")
        found = [numbers[f"{mean}_{kind}"] for kind in kinds]
        assert found == pytest.approx(expected[:3], abs=1e-9)
    expected = metrics.roc_auc_score(truth, p)
    assert numbers["auc"] == pytest.approx(expected, abs=1e-9)
    assert numbers["accuracy"] == metrics.accuracy_score(truth, said)
    assert "confusion" not in numbers and "mcc" not in numbers


def test_labels_that_are_absent_or_never_given_count_as_zero():
    truth, p = np.array([0, 0, 1]), np.eye(3)[[0, 0, 0]]
    report = classification_scores(truth, p, "abc")
    expected = metrics.f1_score(
        truth, [0, 0, 0], labels=[0, 1, 2], average="macro", zero_division=0
    )
    assert report.numbers["macro_f1"] == pytest.approx(expected, abs=1e-12)
    assert report.numbers["mcc"] == 0.0
    assert report.numbers["auc"] is None  # c is on no text
    assert report.numbers["labels"]["c"]["auc"] is None
    assert "classification/auc" not in report.measures()


def test_ties_count_half_in_the_auc():
    random = np.random.default_rng(0)
    scores = random.integers(0, 4, 200) / 4
    truth = (random.random(200) < scores).astype(int)
    value, error = roc_auc(truth, scores)
    assert value == pytest.approx(metrics.roc_auc_score(truth, scores))
    ups, downs = scores[truth == 1][:, None], scores[truth == 0]
    wins = (ups > downs) + 0.5 * (ups == downs)  # DeLong, as it is written
    spread = wins.mean(1).var(ddof=1) / len(ups)
    spread += wins.mean(0).var(ddof=1) / len(downs)
    assert error == pytest.approx(spread**0.5, abs=1e-12)
    assert roc_auc(np.ones(3), np.arange(3)) is None
    assert roc_auc(np.array([1, 0]), np.arange(2))[1] is None


def test_errors_are_those_of_drawing_items_again(languages):
    truth, p = languages
    said = p.argmax(-1)
    errors = label_errors(truth, said, 4, resamples=2000)
    random = np.random.default_rng(1)
    drawn = [random.integers(0, len(truth), len(truth)) for _ in range(300)]
    for name, score in {
        "macro_f1": lambda a, b: metrics.f1_score(a, b, average="macro"),
        "mcc": metrics.matthews_corrcoef,
    }.items():
        expected = np.std([score(truth[i], said[i]) for i in drawn])
        assert errors[name] == pytest.approx(expected, rel=0.15)
    accuracy = (said == truth).mean()
    formula = (accuracy * (1 - accuracy) / len(truth)) ** 0.5
    assert errors["micro_f1"] == pytest.approx(formula, rel=0.06)
    assert errors == label_errors(truth, said, 4, resamples=2000)


def test_a_report_is_a_finding_with_a_picture(languages):
    truth, p = languages
    report = classification_scores(truth, p, LANGUAGES)
    assert isinstance(report, Finding)
    kinds = [type(block) for block in report.blocks()]
    assert kinds.count(Table) == 2 and kinds.count(Picture) == 1
    written = json.loads(json.dumps(report.to_dict()))
    assert written["errors"]["macro_f1"] == report.errors["macro_f1"]
    measures = report.measures()
    assert measures["classification/loss"].higher_is_better is False
    assert measures["classification/accuracy"].higher_is_better is True
    each = -np.log(p[np.arange(len(p)), truth])
    assert measures["classification/loss"].error == pytest.approx(
        each.std(ddof=1) / len(each) ** 0.5
    )
    many = classification_scores(np.eye(2), np.eye(2), "ab")
    assert not any(isinstance(block, Picture) for block in many.blocks())


def test_a_confusion_matrix_shows_the_counts_and_fits_a_file(tmp_path):
    figure = confusion_figure([[30, 1], [0, 1200]], ("ham", "spam"))
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == ["30", "1", "0", "1,200"]
    figure.savefig(tmp_path / "a.png")
    big = confusion_figure(np.eye(30, dtype=int), [str(i) for i in range(30)])
    assert not big.axes[0].texts


def test_what_was_given_decides_not_what_is_likeliest(spam):
    truth, p = spam
    given = (p[:, 1] >= 0.2).astype(int)
    numbers = classification_scores(truth, p, "ab", found=given).numbers
    expected = metrics.accuracy_score(truth, given)
    assert numbers["accuracy"] == pytest.approx(expected, abs=1e-12)
    assert len(reliability(p, truth).rows()) <= 15


def test_spans_of_real_tags_score_as_in_seqeval(shared_data):
    seqeval = pytest.importorskip("seqeval.metrics")
    truth = [
        list(one.labels)
        for one in list(read_tagged(shared_data / "wnut17/test.conll"))[:600]
    ]
    random = np.random.default_rng(0)
    tags = sorted({tag for one in truth for tag in one})
    said = [
        [tag if random.random() < 0.9 else random.choice(tags) for tag in one]
        for one in truth
    ]
    report = span_report(truth, said, name="entities")
    found = report.measures()
    assert isinstance(report, Finding)
    for name in ("precision", "recall", "f1", "accuracy"):
        theirs = getattr(seqeval, f"{name}_score")(truth, said)
        measure = found[f"entities/{name}"]
        assert measure.value == pytest.approx(theirs, abs=1e-9)
    assert 0.1 < found["entities/f1"].value < 0.9
    drawn = [
        span_scores(*([side[i] for i in places] for side in (truth, said)))
        for places in random.integers(0, len(truth), (150, len(truth)))
    ]
    expected = np.std([one["f1"] for one in drawn])
    assert found["entities/f1"].error == pytest.approx(expected, rel=0.25)
    assert report.to_dict()["kinds"] == span_scores(truth, said)["kinds"]
    assert [type(block) for block in report.blocks()].count(Table) == 2
    with pytest.raises(InputError, match="at least one item"):
        span_report([], [])


def test_mistakes_are_sentences():
    with pytest.raises(InputError, match=r"3 labels.*targets \(2,\)"):
        classification_scores(np.zeros(2, int), np.ones((2, 2)), "abc")
    with pytest.raises(InputError, match="at least one text"):
        classification_scores(np.zeros(0, int), np.zeros((0, 2)), "ab")
    with pytest.raises(InputError, match=r"targets \(2, 3\)"):
        classification_scores(np.zeros((2, 3)), np.zeros((2, 2)), "ab")
