"""Rows of preferences: both answers in one, and nothing between them."""

import numpy as np
import pytest
from tuning_examples import BYTES, decoder, learned

from keras_llm import InputError
from keras_llm.score import log_probabilities
from keras_llm.tokenizers.chat import TEMPLATES
from keras_llm.tune import (
    Pair,
    Rating,
    exchange,
    pair_rows,
    rating_rows,
    read_pairs,
)


def test_a_pair_is_scored_in_one_row_as_in_two():
    prompt = exchange("say", "what", "how", system="Rhyme")
    pairs = [Pair(prompt, "rose", "violets"), Pair(prompt[1:2], "a", "b")]
    rows = pair_rows(pairs, BYTES, None, 64)
    assert rows.time % 8 == 0 and rows.context_length <= 64
    model = decoder()
    inputs, targets, weights = rows.batch(np.arange(2))
    logits = np.asarray(model(inputs))
    logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    picked = np.take_along_axis(logs, targets[..., None], -1)[..., 0]
    for row, pair in enumerate(pairs):
        for segment, answer in ((1, pair.chosen), (2, pair.rejected)):
            chosen = weights[row] * (inputs["segments"][row] == segment)
            reply = {"role": "assistant", "content": answer}
            ids, _ = TEMPLATES["keras_llm"].encode(BYTES, [*pair.prompt, reply])
            alone = np.asarray(log_probabilities(model, np.array([ids])))[0]
            count = len(answer) + 1  # and the end of the turn
            assert chosen.sum() == count
            assert (picked[row] * chosen).sum() == pytest.approx(
                alone[-count:].sum(), rel=1e-5
            )


def test_pairs_that_teach_nothing_or_do_not_fit(capsys):
    prompt = exchange("a")
    pairs = [
        Pair(prompt, "b", "c", 1, "line 1"),
        Pair(prompt, "b", "b", 2, "line 2"),
        Pair(prompt, "b", "c" * 50, 3, "line 3"),
    ]
    rows = pair_rows(pairs, BYTES, None, 16)
    assert len(rows) == 1
    said = capsys.readouterr().err
    assert "1 with two equal answers (line 2)" in said
    assert "1 longer than 16 tokens (line 3)" in said
    long = pair_rows(pairs[2:], BYTES, None, 16, too_long="cut")
    assert long.context_length <= 16 and long.time <= 32
    with pytest.raises(InputError, match="none"):
        pair_rows(pairs[1:], BYTES, None, 16)


def test_the_longest_pair_fits_the_context():
    pair = Pair(exchange("a"), "b" * 10, "c" * 10)  # 16 tokens each
    rows = pair_rows([pair], BYTES, None, 16)
    assert (rows.time, rows.context_length) == (32, 16)
    assert pair_rows([pair], BYTES, None, 16, "error").fingerprint == (
        rows.fingerprint
    )
    with pytest.raises(InputError, match="16 in a pair"):
        pair_rows([pair], BYTES, None, 15, "error")


def test_the_books_pairs(shared_data, capsys):
    name = "instruction-data-with-preference.json"
    pairs = list(read_pairs(shared_data / "llms_from_scratch" / name))
    rows = pair_rows(pairs, BYTES, None, 512)
    equal = sum(pair.chosen == pair.rejected for pair in pairs)
    assert f"{equal} with two equal answers" in capsys.readouterr().err
    assert 0 < len(rows) <= 1100 - equal
    both = rows.weights * (rows.inputs["segments"] == 1)
    assert (both.sum(1) > 0).all() and (rows.weights - both).sum(1).all()


def test_ratings_have_their_label():
    prompt = exchange("a")
    rows = rating_rows(
        [Rating(prompt, "b", True), Rating(prompt, "cdef", False)],
        *(BYTES, "plain", 16),
    )
    assert rows.inputs["label"].tolist() == [[1.0], [0.0]]
    assert rows.inputs["label"].dtype == np.float32
    assert [learned(rows, row) for row in (0, 1)] == ["01100000", "01111100"]
