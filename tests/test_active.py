"""Active learning: values worked out by hand, scipy's, and what it saves."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import entropy as peer

from keras_llm.errors import InputError
from keras_llm.feedback import (
    Simulation,
    bald,
    entropy,
    k_center,
    least_confidence,
    margin,
    rank,
    simulate,
)

SKEWED = [[0.7, 0.2, 0.1], [0.5, 0.5, 0.0], [0.4, 0.3, 0.3], [1.0, 0.0, 0.0]]


def distributions(*shape):
    random = np.random.default_rng(0)
    return random.dirichlet(np.ones(shape[-1]), shape[:-1])


def test_entropy_is_scipys():
    p = distributions(50, 5)
    assert np.allclose(entropy(p), peer(p, axis=-1), atol=1e-12)


def test_uncertainty_by_hand():
    assert np.allclose(margin(SKEWED), [0.5, 1.0, 0.9, 0.0])
    assert np.allclose(least_confidence(SKEWED), [0.3, 0.5, 0.6, 0.0])
    assert np.allclose(entropy(SKEWED)[1:], [0.693147, 1.0889, 0], atol=1e-5)
    assert rank(SKEWED, method="margin").tolist() == [1, 2, 0, 3]
    assert rank(SKEWED, method="entropy").tolist() == [2, 0, 1, 3]
    assert rank(SKEWED, method="least_confidence").tolist() == [2, 1, 0, 3]


def test_bald_tells_contradiction_from_ambiguity():
    sure, other, torn = [0.9, 0.1], [0.1, 0.9], [0.5, 0.5]
    samples = np.array([[sure, torn, sure], [other, torn, sure]])
    contradiction = np.log(2) - peer(sure)
    assert np.allclose(bald(samples), [contradiction, 0, 0], atol=1e-12)
    p = distributions(7, 20, 4)
    mutual = peer(p.mean(0), axis=-1) - peer(p, axis=-1).mean(0)
    assert np.allclose(bald(p), mutual, atol=1e-12)
    assert rank(samples, method="bald")[0] == 0


def test_samples_are_averaged_for_other_methods():
    p = distributions(7, 20, 4)
    assert (rank(p, method="margin") == rank(p.mean(0), method="margin")).all()


def test_k_center_by_hand_and_by_all_distances():
    line = [[0.0], [1.0], [4.0], [9.0], [10.0]]
    assert k_center(line, [0], 3).tolist() == [4, 2, 1]
    assert k_center(line, [], 2).tolist() == [2, 4]  # the mean is 4.8
    points = np.random.default_rng(1).normal(size=(60, 3))
    chosen, all_ = [3, 7], cdist(points, points)
    for found in k_center(points, [3, 7], 10):
        assert found == all_[chosen].min(0).argmax()
        chosen.append(int(found))


def test_k_center_never_chooses_twice():
    assert sorted(k_center(np.zeros((5, 2)), [1], 9)) == [0, 2, 3, 4]
    assert k_center(np.zeros((2, 2)), [0, 1], 3).tolist() == []


def test_rank_leaves_out_labelled_and_spreads_a_batch():
    p = [[0.5, 0.5]] * 10 + [[0.6, 0.4]] * 10 + [[1.0, 0.0]] * 80
    spots = np.repeat(np.arange(20.0), 5)[:, None]  # five alike, 20 places
    plain = rank(p, count=4, labelled=[0])
    assert plain.tolist() == [1, 2, 3, 4]
    diverse = rank(p, spots, count=4, labelled=[0])
    assert len({spots[i, 0] for i in diverse}) == 4
    assert max(diverse) < 21 and 0 not in diverse  # of the 20 most uncertain
    assert rank(p, spots, labelled=range(100)).tolist() == []


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: entropy([[2.0, -1.0]]), "not negative"),
        (lambda: entropy([[1.0, 0.0], [0.3, 0.3]]), r"\(1,\)"),
        (lambda: entropy([[np.nan, 1.0]]), "the softmax, not the logits"),
        (lambda: margin([[1.0]]), "two or more classes"),
        (lambda: bald(SKEWED), "two or more passes"),
        (lambda: rank(SKEWED, method="coin"), "'coin'"),
        (lambda: rank(SKEWED, np.zeros((3, 2))), "each of 4 texts"),
        (lambda: k_center(np.zeros(3), [], 1), r"\(texts, width\)"),
        (lambda: k_center(np.zeros((3, 1)), [], 0), "count=0"),
    ],
)
def test_mistakes_are_sentences(call, sentence):
    with pytest.raises(InputError, match=sentence):
        call()


def threshold(labels, places):
    """A classifier of places on a line: the middle between the classes."""

    def train_and_predict(indices, given):
        zeros, ones = (places[indices[given == c]] for c in (0, 1))
        low = zeros.max() if len(zeros) else places.min()
        high = ones.min() if len(ones) else places.max()
        p = 1 / (1 + np.exp(-20 * (places - (low + high) / 2)))
        return np.stack([1 - p, p], -1), ((p > 0.5) == labels).mean()

    return train_and_predict


@pytest.mark.parametrize("method", ["entropy", "margin"])
def test_a_simulation_finds_a_threshold_with_fewer_labels(method):
    places = np.random.default_rng(2).uniform(size=400)
    labels = (places > 0.37).astype(int)
    plan = {"start": 5, "batch": 5, "rounds": 10, "seed": 3}
    found = {
        name: simulate(threshold(labels, places), labels, name, **plan)
        for name in ("random", method)
    }
    assert found[method].chosen[:5] == found["random"].chosen[:5]
    for one in found.values():
        assert one.labels == tuple(range(5, 51, 5)) and len(one.accuracy) == 10
        assert len(set(one.chosen)) == 50
    assert (found[method].labels_for(1.0) or 99) < (
        found["random"].labels_for(1.0) or 99
    )
    again = simulate(threshold(labels, places), labels, method, **plan)
    assert again == found[method]
    assert Simulation.from_dict(again.to_dict()) == again


def test_a_simulation_that_cannot_be_is_a_sentence():
    with pytest.raises(InputError, match="Received: start=5, batch=5"):
        simulate(
            threshold(np.zeros(9), np.zeros(9)),
            np.zeros(9),
            "random",
            start=5,
            batch=5,
            rounds=2,
            seed=0,
        )
