"""Shares of sources: against formulas of our own making and published ones."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_llm.data import (
    capped_tokens,
    temperature_weights,
    weight_schedule,
)
from keras_llm.data.mixtures import Interleave
from keras_llm.data.mixtures.permutation import key_of, permuted
from keras_llm.data.mixtures.plan import stage_sizes
from keras_llm.errors import InputError

COUNTS = st.lists(st.integers(0, 400), min_size=1, max_size=12).filter(any)
SIZES = st.lists(st.integers(1, 10**7), min_size=1, max_size=20)
# The order of a run that is resumed in years.
GOLDEN = [6, 2, 4, 7, 1, 8, 5, 3, 9, 0]


@given(COUNTS)
def test_every_draw_comes_once_and_in_order(counts):
    sources, draws = Interleave(counts)(np.arange(sum(counts)))
    for source, count in enumerate(counts):
        assert draws[sources == source].tolist() == list(range(count))


@given(COUNTS, st.data())
@settings(max_examples=200)
def test_every_window_has_its_shares(counts, data):
    total = sum(counts)
    begin = data.draw(st.integers(0, total - 1))
    end = data.draw(st.integers(begin + 1, total))
    sources, _ = Interleave(counts)(np.arange(total))
    for source, count in enumerate(counts):
        before = (sources[:begin] == source).sum() - begin * count / total
        after = (sources[:end] == source).sum() - end * count / total
        assert max(abs(before), abs(after)) < 2
        assert abs(after - before) < 4


def test_equal_sources_do_not_come_in_bursts():
    # 49 rare languages: sorted by when each is due, all come at once.
    sources, _ = Interleave([700, *[7] * 49])(np.arange(1043))
    rare = np.lib.stride_tricks.sliding_window_view(sources > 0, 100)
    assert rare.sum(axis=1).min() >= 31 and rare.sum(axis=1).max() <= 35


@given(COUNTS, st.integers(0, 2**20))
def test_any_position_is_found_alone(counts, at):
    order, at = Interleave(counts), at % sum(counts)
    everything = order(np.arange(sum(counts)))
    alone = order(np.array([at]))
    assert [one[0] for one in alone] == [one[at] for one in everything]


def test_billions_of_rows_do_not_overflow():
    order = Interleave([2**30, 2**29 + 1, 3])
    sources, draws = order(np.array([order.total - 1, order.total - 2]))
    assert set(zip(sources.tolist(), draws.tolist(), strict=True)) <= {
        (0, 2**30 - 1),
        (1, 2**29),
        (2, 2),
        (0, 2**30 - 2),
    }
    with pytest.raises(InputError, match="fewer than 2,147,483,648 rows"):
        Interleave([2**31])


@given(st.integers(1, 3000), st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_a_permutation_gives_each_row_once(size, seed):
    keys = key_of(seed, np.zeros(size, np.int64))
    order = permuted(np.arange(size), np.full(size, size), keys)
    assert sorted(order.tolist()) == list(range(size))


def test_the_order_of_a_seed_stays():
    keys = key_of(1, 2, np.zeros(10, np.int64))
    assert permuted(np.arange(10), np.full(10, 10), keys).tolist() == GOLDEN


@pytest.mark.parametrize("size", [2, 5, 16, 33])
def test_permutations_are_even(size):
    """Every row comes to every place as often, over many keys."""
    scipy_stats = pytest.importorskip("scipy.stats")
    keys = key_of(3, np.repeat(np.arange(2000), size))
    places = permuted(
        np.tile(np.arange(size), 2000), np.full(2000 * size, size), keys
    )
    table = np.zeros((size, size), int)
    np.add.at(table, (np.tile(np.arange(size), 2000), places), 1)
    assert scipy_stats.chisquare(table.ravel()).pvalue > 1e-3


def test_neighbours_part():
    keys = key_of(9, np.zeros(100_000, np.int64))
    order = permuted(np.arange(100_000), np.full(100_000, 100_000), keys)
    assert (np.abs(np.diff(order)) == 1).sum() < 12  # 2 by chance


@given(SIZES, st.floats(0.3, 50))
def test_temperature_is_a_power(sizes, temperature):
    powers = np.array(sizes, float) ** (1 / temperature)
    np.testing.assert_allclose(
        temperature_weights(sizes, temperature), powers / powers.sum()
    )


def test_temperature_of_one_and_of_infinity():
    assert temperature_weights([1, 3], 1) == pytest.approx([0.25, 0.75])
    assert temperature_weights([1, 3], math.inf) == pytest.approx([0.5, 0.5])
    # A hundredth of the text is a fifth of an XLM-R mixture (alpha 0.3).
    alpha = 0.01**0.3 / (0.01**0.3 + 0.99**0.3)
    found = temperature_weights([1, 99], 1 / 0.3)
    assert found[0] == pytest.approx(alpha) == pytest.approx(0.201, abs=1e-3)


def unimax(sizes, tokens, epochs):
    """Algorithm 1 of Chung et al. 2023, language after language."""
    budget, found = tokens, [0.0] * len(sizes)
    by_size = sorted(range(len(sizes)), key=lambda i: sizes[i])
    for position, language in enumerate(by_size):
        even = budget / (len(sizes) - position)
        found[language] = min(even, sizes[language] * epochs)
        budget -= found[language]
    return found


def water_level(weights, tokens, limits):
    """Bisects how high the water stands when `tokens` are poured in."""
    low, high = 0.0, 1e12
    for _ in range(200):
        middle = (low + high) / 2
        poured = np.minimum(weights * middle, limits).sum()
        low, high = (middle, high) if poured < tokens else (low, middle)
    return np.minimum(weights * high, limits)


@given(SIZES, st.floats(0.5, 8), st.floats(0.01, 0.99))
def test_equal_weights_with_a_limit_are_unimax(sizes, epochs, fullness):
    tokens = sum(sizes) * epochs * fullness
    weights = np.full((1, len(sizes)), 1 / len(sizes))
    found = capped_tokens(weights, tokens, [n * epochs for n in sizes])
    np.testing.assert_allclose(found[0], unimax(sizes, tokens, epochs))


@given(SIZES, st.floats(1, 6), st.floats(0.01, 0.99))
def test_the_surplus_goes_to_the_others_by_weight(sizes, temperature, fullness):
    weights = np.array(temperature_weights(sizes, temperature))
    limits = np.array(sizes, float) * 2
    tokens = limits.sum() * fullness
    found = capped_tokens(weights[None], tokens, limits.tolist())
    np.testing.assert_allclose(
        found[0], water_level(weights, tokens, limits), rtol=1e-6
    )


def test_a_limit_in_phases_keeps_their_length():
    weights = np.array([[0.8, 0.2, 0.0], [0.2, 0.2, 0.6]])
    found = capped_tokens(weights, 200, [50, math.inf, 40])
    np.testing.assert_allclose(found.sum(axis=1), [100, 100])
    np.testing.assert_allclose(found.sum(axis=0)[[0, 2]], [50, 40])
    assert found[0, 0] == pytest.approx(4 * found[1, 0])


def test_too_little_text_is_refused():
    with pytest.raises(InputError, match="give 100 tokens .* at most 90"):
        capped_tokens(np.array([[0.5, 0.5]]), 100, [40, 50])
    with pytest.raises(InputError, match="max_epochs leaves"):  # in phase 1
        capped_tokens(np.array([[1, 0], [0.5, 0.5]]), 100, [40, 500])


def test_a_schedule_is_a_line():
    found = weight_schedule({"a": 1, "b": 0}, {"a": 0, "b": 4}, 10)
    np.testing.assert_allclose(
        [one["a"] for one in found], np.linspace(0.95, 0.05, 10)
    )
    assert all(sum(one.values()) == pytest.approx(1) for one in found)
    with pytest.raises(InputError, match="same sources"):
        weight_schedule({"a": 1}, {"b": 1})


@given(st.integers(1, 10_000), st.integers(1, 9))
def test_stages_hold_every_row(rows, stages):
    found = stage_sizes(rows, stages)
    assert sum(found) == rows and max(found) - min(found) <= 1


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: temperature_weights([1, 0], 1), "above 0.*sizes=\\[1, 0\\]"),
        (lambda: temperature_weights([1], math.nan), "temperature=nan"),
        (lambda: stage_sizes(9, 0), "stages from 1.*Received: 0"),
        (lambda: stage_sizes(9, (1, 0)), "shares above 0"),
        (lambda: weight_schedule({"a": -1}, {"a": 1}), "0 or more"),
    ],
)
def test_numbers_that_mean_nothing_are_refused(call, said):
    with pytest.raises(InputError, match=said):
        call()
