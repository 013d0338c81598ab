"""Pairs of models: intervals and ratings beside scipy and scikit-learn."""

import itertools

import numpy as np
import pytest

from keras_llm.compare.pairs import ItemScores, compare_pairs
from keras_llm.compare.ratings import bradley_terry, elo
from keras_llm.errors import InputError
from keras_llm.evaluate.statistics import Interval


def two(seed: int = 0, count: int = 200, lead: float = 0.2):
    """Answers right or wrong of two models, correlated by the items."""
    random = np.random.default_rng(seed)
    hard = random.random(count)
    a = (random.normal(0.5 + lead, 0.3, count) > hard).astype("float64")
    b = (random.normal(0.5, 0.3, count) > hard).astype("float64")
    return {"a": a, "b": b}


def test_an_interval_is_scipys_paired_bootstrap():
    stats = pytest.importorskip("scipy.stats")
    values = two()
    (found,) = compare_pairs({"acc": ItemScores(values)})
    oracle = stats.bootstrap(
        (values["a"], values["b"]),
        lambda a, b, axis: a.mean(axis=axis) - b.mean(axis=axis),
        paired=True,
        method="percentile",
        rng=np.random.default_rng(7),
    ).confidence_interval
    assert found.lead.interval == pytest.approx(tuple(oracle), abs=0.006)
    won, lost = found.lead.wins, found.lead.losses
    sign = stats.binomtest(won, won + lost).pvalue  # McNemar's exact test
    assert (sign < 0.05) == found.shown
    assert won + lost + found.lead.ties == 200


def test_a_sum_over_a_sum_is_scipys_paired_bootstrap():
    stats = pytest.importorskip("scipy.stats")
    random = np.random.default_rng(2)
    size = random.integers(10, 900, 80).astype("float64")
    bits = {"a": 1.2 * size + random.normal(0, 9, 80)}
    bits["b"] = bits["a"] + random.normal(0.01, 0.05, 80) * size
    scores = ItemScores(bits, higher_is_better=False, weights=size)
    (found,) = compare_pairs({"bits_per_byte": scores})
    oracle = stats.bootstrap(
        (bits["b"] - bits["a"], size),
        lambda gap, w, axis: gap.sum(axis=axis) / w.sum(axis=axis),
        paired=True,
        method="percentile",
        rng=np.random.default_rng(7),
    )
    assert found.lead.interval == pytest.approx(
        tuple(oracle.confidence_interval), abs=5e-4
    )
    assert found.lead.difference == pytest.approx(
        (bits["b"].sum() - bits["a"].sum()) / size.sum()
    )
    alone = stats.bootstrap(
        (bits["a"], size),
        lambda v, w, axis: v.sum(axis=axis) / w.sum(axis=axis),
        paired=True,
        rng=np.random.default_rng(7),
    )
    measure = scores.measure("a")
    assert measure.value == pytest.approx(bits["a"].sum() / size.sum())
    assert measure.error == pytest.approx(alone.standard_error, rel=0.05)
    assert measure.higher_is_better is False and measure.count == 80


def test_equal_weights_are_a_mean():
    values = two(3)
    plain = compare_pairs({"acc": ItemScores(values)})
    weighed = compare_pairs({"acc": ItemScores(values, True, np.ones(200))})
    assert weighed[0].lead.interval == pytest.approx(plain[0].lead.interval)
    assert weighed[0].p_value == pytest.approx(plain[0].p_value)


def test_a_sentence_says_who_is_better():
    values = two(lead=0.3)
    (found,) = compare_pairs({"copa/acc": ItemScores(values)})
    assert str(found).startswith("a is better than b on copa/acc by 0.")
    turned = {"b": values["b"], "a": values["a"]}
    (other,) = compare_pairs({"copa/acc": ItemScores(turned)})
    assert str(other).startswith("a is better than b on copa/acc by 0.")
    assert other.lead.interval == pytest.approx(
        (-found.lead.interval.high, -found.lead.interval.low), abs=1e-9
    )
    losses = ItemScores(values, higher_is_better=False)
    (lower,) = compare_pairs({"loss": losses})
    assert str(lower).startswith("b is better than a on loss")
    assert lower.lead.wins == found.lead.losses


def test_no_difference_is_said_too():
    same = np.array([0.0, 1.0] * 10)
    (found,) = compare_pairs({"acc": ItemScores({"a": same, "b": same})})
    assert found.p_value == 1.0 and found.lead.interval == Interval(0, 0)
    assert str(found).startswith("No difference shown between a and b on acc")


def test_all_pairs_and_metrics_are_corrected_together():
    values = two() | {"c": two(9)["b"]}
    metrics = {f"m{n}": ItemScores(values) for n in range(4)}
    alone = compare_pairs({"m0": ItemScores(two())})[0].p_value
    found = compare_pairs(metrics)
    assert len(found) == 12
    assert [(one.a, one.b) for one in found[:3]] == list(
        itertools.combinations("abc", 2)
    )
    assert found[0].p_value >= min(1.0, 4 * alone)


@pytest.mark.parametrize("count", [4, 9, 60])
def test_a_p_value_is_scipys_paired_permutation_test(count):
    stats = pytest.importorskip("scipy.stats")
    random = np.random.default_rng(count)
    values = {
        "a": random.normal(0.3, 1, count),
        "b": random.normal(0, 1, count),
    }
    (found,) = compare_pairs({"x": ItemScores(values)})
    oracle = stats.permutation_test(
        (values["a"], values["b"]),
        lambda a, b, axis: (a - b).mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=9_999,
        rng=np.random.default_rng(8),
    )
    assert found.p_value == pytest.approx(oracle.pvalue, abs=0.02)


def test_four_items_show_nothing():
    scores = ItemScores({"a": np.full(4, 1.0), "b": np.zeros(4)})
    (found,) = compare_pairs({"acc": scores})
    assert found.p_value == pytest.approx(1 / 8, abs=0.01) and not found.shown


def test_a_p_value_is_never_zero():
    sure = {"a": np.ones(50), "b": np.zeros(50)}
    (found,) = compare_pairs({"acc": ItemScores(sure)})
    assert 0 < found.p_value <= 1e-4


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        (ItemScores({"a": np.ones(2), "b": np.ones(3)}), "2 of a, 3 of b"),
        (
            ItemScores({"a": np.ones(2)}, weights=np.ones(3)),
            "2 of a, 3 of the weights",
        ),
        (ItemScores({"a": np.array([1, np.nan])}), "from a.*nan of item 1"),
    ],
)
def test_what_cannot_be_paired_is_refused(scores, said):
    with pytest.raises(InputError, match=said):
        compare_pairs({"acc": scores})


def test_ratings_are_a_logistic_regression():
    linear = pytest.importorskip("sklearn.linear_model")
    random = np.random.default_rng(4)
    wins = random.integers(0, 30, (5, 5)).astype("float64")
    wins[0, 1:] += 40
    wins[1, 2] += 0.5  # half of a tie
    wins[2, 1] += 0.5
    prior = 1.0
    rows, weights = [], []
    for a, b in itertools.permutations(range(5), 2):
        rows.append(np.eye(5)[a] - np.eye(5)[b])
        weights.append(wins[a, b] + prior / 2)
    both = np.array(rows + [-row for row in rows])
    labels = [1] * len(rows) + [0] * len(rows)
    model = linear.LogisticRegression(
        C=np.inf, fit_intercept=False, tol=1e-12, max_iter=10_000
    ).fit(both, labels, sample_weight=weights * 2)
    expected = model.coef_[0] - model.coef_[0].mean()
    np.testing.assert_allclose(bradley_terry(wins), expected, atol=1e-4)


def test_ratings_of_several_tables_are_those_of_each():
    tables = np.random.default_rng(1).integers(0, 9, (6, 3, 3))
    together = bradley_terry(tables)
    for table, found in zip(tables, together, strict=True):
        np.testing.assert_allclose(bradley_terry(table), found, atol=1e-8)


def test_who_never_lost_has_a_rating_too():
    found = elo(bradley_terry(np.array([[0, 9, 9], [0, 0, 5], [0, 4, 0]])))
    assert np.isfinite(found).all() and found.argmax() == 0
    assert found.mean() == pytest.approx(1000)


@pytest.mark.parametrize(
    "wins", [np.zeros(3), np.zeros((2, 3)), np.zeros((1, 1)), -np.ones((2, 2))]
)
def test_what_is_no_table_of_wins_is_refused(wins):
    with pytest.raises(InputError, match="counts of wins"):
        bradley_terry(wins)


def test_no_prior_is_refused():
    with pytest.raises(InputError, match="prior above 0"):
        bradley_terry(np.ones((2, 2)), prior=0)
