"""Windows in rows that share prefixes: nothing is lost, nothing is mixed."""

import numpy as np
import pytest

from keras_llm.evaluate.prefix_tree import prefix_trees


def windows_of(seed: int, count: int = 60) -> list:
    """Windows that begin alike, some of them equal."""
    random = np.random.default_rng(seed)
    stems = [random.integers(0, 3, size).tolist() for size in (3, 9, 30)]
    windows = []
    for _ in range(count):
        own = random.integers(0, 3, random.integers(1, 6)).tolist()
        tokens = [7, *stems[random.integers(3)], *own]
        windows.append((tokens, int(random.integers(1, len(tokens)))))
    return [*windows, *windows[:5]]


def seen_by(tree, node: int) -> list[int]:
    """The tokens that a node sees, itself last, by the rule of the mask."""
    return [tree.tokens[j] for j in range(node + 1) if j <= node < tree.ends[j]]


@pytest.mark.parametrize("linear", [0, 5, 50, 1e9])
@pytest.mark.parametrize("seed", range(4))
def test_every_scored_token_sees_its_own_window(seed, linear):
    windows = windows_of(seed)
    found = set()
    for tree in prefix_trees(dict(enumerate(windows)), 200, linear):
        for number, nodes in tree.places:
            found.add(number)
            tokens, scored = windows[number]
            assert len(nodes) == scored
            for place, node in enumerate(nodes, len(tokens) - 1 - scored):
                assert seen_by(tree, node) == tokens[: place + 1]
                assert tree.depths[node] == place
    assert found == set(range(len(windows)))


def sizes(windows, longest, linear) -> list[int]:
    trees = prefix_trees(dict(enumerate(windows)), longest, linear)
    return [len(tree.tokens) for tree in trees]


def test_what_windows_share_is_there_once():
    question = list(range(20))
    windows = [([*question, 30 + n, 40 + n], 2) for n in range(4)]
    assert sizes(windows, 99, 100) == [20 + 4]  # the last is never read
    assert sizes(windows, 99, 0) == [21] * 4


def test_choices_of_one_token_cost_nothing():
    windows = [([1, 2, 3, answer], 1) for answer in range(10, 50)]
    assert sizes(windows, 99, 100) == [3]
    [tree] = prefix_trees(dict(enumerate(windows)), 99, 100)
    assert {nodes.tolist()[0] for _, nodes in tree.places} == {2}


def test_a_row_grows_only_while_that_is_cheap():
    alike = [([9, *range(100 * n, 100 * n + 50), 0], 1) for n in range(3)]
    assert sizes(alike, 999, 100) == [51] * 3  # one token of 51 in common
    assert sizes(alike, 999, 1e6) == [51 + 50 + 50]
    assert sizes(alike, 101, 1e6) == [101, 51]  # no longer than it may be


def test_one_window_may_be_longer_than_a_shared_row():
    assert sizes([(list(range(50)), 3)], 10, 100) == [49]


def test_no_windows_no_rows():
    assert sizes([], 10, 100) == []
