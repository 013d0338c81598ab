"""Packing: every token a target exactly once, for any documents."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_llm.data import PackCounts, pack, positions_of, training_arrays
from keras_llm.errors import InputError

documents_of_ids = st.lists(
    st.lists(st.integers(2, 50), max_size=40), max_size=25
)


def transitions(ids):
    """Counts the (token, next token) pairs: what there is to be learned."""
    return Counter(zip(ids[:-1], ids[1:], strict=True))


@settings(max_examples=200)
@given(
    documents_of_ids,
    st.integers(2, 17),
    st.sampled_from([None, 1]),
    st.sampled_from([None, 1]),
    st.integers(1, 5),
)
def test_every_token_is_a_target_exactly_once(
    documents, row_length, bos, eos, open_rows
):
    counts = PackCounts()
    ends = dict(bos_id=bos, eos_id=eos)
    rows = list(
        pack(documents, row_length, **ends, counts=counts, open_rows=open_rows)
    )
    whole = [
        [*([bos] if bos else []), *ids, *([eos] if eos else [])]
        for ids in documents
        if ids
    ]
    expected = sum(map(transitions, whole), Counter())
    received = Counter()
    for tokens, segments in rows:
        assert tokens.shape == segments.shape == (row_length,)
        # Contiguous, counted from 1, padding only at the end.
        used = segments[segments > 0]
        assert (segments[len(used) :] == 0).all()
        assert used[0] == 1 and set(np.diff(used)) <= {0, 1}
        for segment in range(1, used[-1] + 1):
            received += transitions(tokens[segments == segment].tolist())
    assert received == expected
    assert counts.targets == sum(expected.values())
    assert counts.tokens == sum(map(len, whole))
    assert counts.rows == len(rows)
    assert counts.documents + counts.empty == len(documents)
    again = list(pack(documents, row_length, **ends, open_rows=open_rows))
    for row, same in zip(rows, again, strict=True):
        np.testing.assert_array_equal(row, same)


@settings(max_examples=50)
@given(documents_of_ids, st.integers(2, 17))
def test_weights_count_the_targets(documents, row_length):
    counts = PackCounts()
    rows = list(pack(documents, row_length, eos_id=1, counts=counts))
    if rows:
        tokens, segments = map(np.stack, zip(*rows, strict=True))
        _, _, weights = training_arrays(tokens, segments)
        assert weights.sum() == counts.targets
        share = 1 - weights.mean()
        assert counts.padding_share == pytest.approx(share)


def test_best_fit_takes_the_tightest_row():
    # Rows of 10 with 4, 3 and 6 free places; 3 fits the second exactly.
    documents = [[5] * 6, [6] * 7, [7] * 4, [8] * 3]
    rows = list(pack(documents, row_length=10))
    tight = [row for row in rows if 8 in row.tokens]
    assert tight[0].tokens.tolist() == [6] * 7 + [8] * 3


def test_long_document_overlaps_by_one_token():
    rows = list(pack([range(10, 19)], row_length=5))
    assert [row.tokens.tolist() for row in rows] == [
        [10, 11, 12, 13, 14],
        [14, 15, 16, 17, 18],
    ]


def test_padding_is_small_on_realistic_lengths():
    lengths = np.random.default_rng(1).lognormal(5, 1.2, 3000).astype(int) + 1
    counts = PackCounts()
    documents = (np.full(length, 7) for length in lengths)
    rows = pack(documents, 257, bos_id=1, eos_id=1, counts=counts)
    assert sum(1 for _ in rows) == counts.rows
    # A next-fit packer leaves several times as much.
    assert counts.padding_share < 0.01


def test_bounded_number_of_open_rows():
    documents = ([n] * 6 for n in range(100))
    rows = pack(documents, row_length=10, open_rows=3)
    first = next(rows)
    assert first.tokens[0] == 0
    assert next(documents) == [4] * 6


def test_memory_stays_bounded_for_an_endless_stream():
    def endless():
        while True:
            yield [3, 4, 5]

    rows = pack(endless(), row_length=7, open_rows=2)
    assert len([next(rows) for _ in range(100)]) == 100


@pytest.mark.parametrize("row_length, open_rows", [(1, 10), (8, 0)])
def test_impossible_sizes_are_refused(row_length, open_rows):
    with pytest.raises(InputError, match="row_length"):
        pack([], row_length, open_rows=open_rows)


def test_golden_arrays():
    row = next(pack([[5, 6], [8], [9]], 12, bos_id=1, eos_id=2))
    arrays = training_arrays(row.tokens[None], row.segments[None])
    inputs, targets, weights = arrays
    assert row.tokens.tolist() == [1, 5, 6, 2, 1, 8, 2, 1, 9, 2, 0, 0]
    table = [*(inputs[k] for k in ("segments", "positions")), targets, weights]
    assert [values[0].astype(int).tolist() for values in table] == [
        [1, 1, 1, 1, 2, 2, 2, 3, 3, 3, 0],
        [0, 1, 2, 3, 0, 1, 2, 0, 1, 2, 0],
        [5, 6, 2, 1, 8, 2, 1, 9, 2, 0, 0],
        [1, 1, 1, 0, 1, 1, 0, 1, 1, 0, 0],
    ]
    types = {values.dtype.name for values in (*inputs.values(), targets)}
    assert types == {"int32"} and weights.dtype == np.float32


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.integers(0, 4))
def test_positions_restart_in_every_segment(lengths, padding):
    segments = np.repeat(np.arange(1, len(lengths) + 1), lengths)
    segments = np.concatenate([segments, np.zeros(padding, int)])
    expected = [place for n in lengths for place in range(n)] + [0] * padding
    assert positions_of(segments[None])[0].tolist() == expected
