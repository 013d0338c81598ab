"""Limits in a pipeline: what fails, what is a mistake, what a baseline is."""

import itertools
import json
import math

import numpy as np
import pytest

from keras_llm.errors import InputError
from keras_llm.evaluate import (
    Gate,
    Measure,
    baseline_gates,
    check_gates,
    holm,
    parse_gate,
)

MEASURES = {
    "copa/acc": Measure(0.55, 0.05, 100),
    "wiki/bits_per_byte": Measure(1.5, 0.1, 10, higher_is_better=False),
    "wiki/words": Measure(7.0, None, 10, higher_is_better=None),
}


def closed_bonferroni(p_values):
    """Holm from its definition: the worst of all sets that hold the test."""
    several = range(len(p_values))
    sets = [
        chosen
        for size in range(1, len(p_values) + 1)
        for chosen in itertools.combinations(several, size)
    ]
    return [
        max(
            min(1.0, len(chosen) * min(p_values[i] for i in chosen))
            for chosen in sets
            if one in chosen
        )
        for one in several
    ]


def test_holm_is_bonferroni_closed():
    for seed in range(20):
        p_values = np.random.default_rng(seed).random(6) ** 3
        p_values[seed % 6] = p_values[0]  # ties too
        np.testing.assert_allclose(
            holm(p_values.tolist()), closed_bonferroni(p_values), rtol=1e-12
        )


def test_holm_of_nothing_and_of_nonsense():
    assert holm([]) == []
    for wrong in (1.5, math.nan):
        with pytest.raises(InputError, match="p-values from 0 to 1"):
            holm([0.5, wrong])


@pytest.mark.parametrize(
    ("text", "above", "passes"),
    [
        ("copa/acc=0.55", False, True),
        ("copa/acc=0.56", False, False),
        ("wiki/bits_per_byte=1.5", True, True),
        ("wiki/bits_per_byte=1.49", True, False),
        ("wiki/words=8", False, False),
        ("wiki/words=8", True, True),
    ],
)
def test_the_limit_itself_passes(text, above, passes):
    gate = parse_gate(text, above)
    failures = check_gates(MEASURES, [gate])
    assert [failure.gate for failure in failures] == [gate] * (not passes)


def test_a_failure_says_what_was_measured():
    (failure,) = check_gates(MEASURES, [parse_gate("copa/acc=6e-1")])
    assert str(failure) == "copa/acc is 0.55 and must not be below 0.6"


@pytest.mark.parametrize("above", [False, True])
def test_no_number_never_passes(above):
    measures = {"x/y": Measure(math.nan, higher_is_better=not above)}
    assert check_gates(measures, [Gate("x/y", 0.0, above)])


@pytest.mark.parametrize(
    "text", ["", "copa/acc", "=0.5", " =1", "a=b", "a=nan", "a=inf", "a=60%"]
)
def test_what_is_no_limit_is_refused(text):
    with pytest.raises(InputError, match="metric=value.*Received: '"):
        parse_gate(text)


def test_a_name_may_hold_an_equals_sign():
    assert parse_gate("a=b/acc = 0.5") == Gate("a=b/acc", 0.5)


def test_an_unknown_measure_is_named_with_those_near():
    with pytest.raises(InputError, match="Did you mean copa/acc"):
        check_gates(MEASURES, [Gate("copa/ac", 0.5)])
    with pytest.raises(InputError, match="It has: copa/acc, wiki/bits"):
        check_gates(MEASURES, [Gate("zzz", 0.5)])
    with pytest.raises(InputError, match="It has: none at all"):
        check_gates({}, [Gate("zzz", 0.5)])


def test_a_limit_on_the_better_side_is_refused():
    with pytest.raises(InputError, match="Use --fail-below copa/acc=0.6"):
        check_gates(MEASURES, [Gate("copa/acc", 0.6, above=True)])
    with pytest.raises(InputError, match="lower is better.*Use --fail-above"):
        check_gates(MEASURES, [Gate("wiki/bits_per_byte", 1.6)])


@pytest.fixture
def baseline(tmp_path):
    path = tmp_path / "results.json"
    measures = {name: one._asdict() for name, one in MEASURES.items()}
    path.write_text(json.dumps({"title": "before", "measures": measures}))
    return path


def test_a_baseline_gives_room_of_its_errors(baseline):
    gates = baseline_gates(baseline)
    assert [gate[::2] for gate in gates] == [
        ("copa/acc", False),
        ("wiki/bits_per_byte", True),
    ]  # wiki/words has no better side
    assert [gate.limit for gate in gates] == pytest.approx([0.5, 1.6])
    strict = baseline_gates(baseline, errors=0)
    assert check_gates(MEASURES, strict) == []


def test_a_baseline_finds_what_got_worse(baseline):
    worse = MEASURES | {"wiki/bits_per_byte": Measure(1.7, 0.1, 10, False)}
    (failure,) = check_gates(worse, baseline_gates(baseline))
    assert failure.gate.metric == "wiki/bits_per_byte"
    assert not check_gates(worse, baseline_gates(baseline, errors=3))
    assert not check_gates(worse, baseline_gates(baseline, ["copa/acc"]))


def test_a_measure_that_vanished_is_no_pass(baseline):
    gates = baseline_gates(baseline)
    with pytest.raises(InputError, match="this evaluation.*copa/acc"):
        check_gates({"wiki/bits_per_byte": Measure(1.0, None, 1, False)}, gates)


def test_names_of_a_baseline_are_checked(baseline):
    with pytest.raises(InputError, match="Did you mean copa/acc"):
        baseline_gates(baseline, ["copa/acc_norm"])
    with pytest.raises(InputError, match="wiki/words, of which neither is"):
        baseline_gates(baseline, ["wiki/words"])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"results": {}}, "Expected `measures` by name"),
        ({"measures": {}}, "Expected `measures` by name"),
        ({"measures": {"a": 1}}, "Expected a in .* to have value"),
        ({"measures": {"a": {"error": 1}}}, "Expected a in .* to have value"),
        ({"measures": {"a": {"value": "1"}}}, "Expected a in .* to have value"),
        ({"measures": {"a": {"value": 1, "b": 2}}}, "Received: .*'b': 2"),
    ],
)
def test_what_is_no_baseline_is_refused(write, content, said):
    path = write(json.dumps(content).encode(), "results.json")
    with pytest.raises(InputError, match=said):
        baseline_gates(path)


def test_no_file_is_no_baseline(tmp_path):
    with pytest.raises(InputError, match="which is no file"):
        baseline_gates(tmp_path)


def test_a_null_in_a_baseline_is_no_number(write):
    measures = {"a": {"value": None}, "b": {"value": 1.0}}
    path = write(json.dumps({"measures": measures}).encode())
    assert baseline_gates(path) == [Gate("b", 1.0)]
