"""Drift: statistics beside scipy's, and prompts that did or did not move."""

import json

import numpy as np
import pytest
from scipy.special import kolmogorov
from scipy.stats import ks_2samp
from test_cli_corpus import run

from keras_llm import CausalLM, DecoderConfig, build_decoder
from keras_llm.errors import InputError
from keras_llm.feedback import Answer, DriftReport, FeedbackStore, drift, shift
from keras_llm.feedback.drift import text_nats
from keras_llm.feedback.shift import (
    ks_p_value,
    ks_statistic,
    population_stability,
)
from keras_llm.tokenizers import BytePairTokenizer

WORDS = "a rose is red and the sea is blue where old ships sail home".split()


def texts(seed, count, words=WORDS, longest=9):
    random = np.random.default_rng(seed)
    return [
        " ".join(random.choice(words, random.integers(3, longest)))
        for _ in range(count)
    ]


@pytest.fixture(scope="module")
def lm():
    tokenizer = BytePairTokenizer.train(texts(0, 50), 280)
    config = DecoderConfig(
        vocabulary_size=280,
        context_length=24,
        num_layers=1,
        hidden_dim=8,
        num_heads=2,
    )
    return CausalLM(build_decoder(config), tokenizer)


@pytest.mark.parametrize("sizes", [(30, 50), (400, 300), (7, 1)])
def test_ks_is_scipys(sizes):
    random = np.random.default_rng(4)
    for move in (0.0, 0.5, 2.0):
        a = random.normal(size=sizes[0]).round(1)  # with ties
        b = random.normal(move, size=sizes[1]).round(1)
        statistic, (n, m) = ks_statistic(a, b), sizes
        assert np.isclose(statistic, ks_2samp(a, b).statistic, atol=1e-12)
        limit = kolmogorov(statistic * np.sqrt(n * m / (n + m)))
        assert np.isclose(ks_p_value(statistic, n, m), limit, atol=1e-12)
    exact = ks_2samp(a, b).pvalue
    assert ks_p_value(statistic, n, m) >= exact * 0.9  # not too sure of drift


def test_stability_index_by_hand():
    reference, live = [1, 2, 3, 4], [3, 3, 4, 4]
    # Two bins, up to 2 and beyond: 2.5 and 2.5 beside 0.5 and 4.5 of 5.
    wanted = (0.1 - 0.5) * np.log(0.1 / 0.5) + (0.9 - 0.5) * np.log(0.9 / 0.5)
    found = population_stability(reference, live, bins=2)
    assert np.isclose(found, wanted, atol=1e-12)
    assert population_stability([5, 5, 5], [5, 5]) == 0.0  # one bin
    assert population_stability([1] * 99, [2] * 99) > 1.0
    same = np.random.default_rng(0).normal(size=(2, 5000))
    assert population_stability(*same) < 0.01


def test_levels():
    random = np.random.default_rng(1)
    base = random.normal(size=500)
    moved = [shift(base, random.normal(m, size=500)).level for m in (0, 0.4, 1)]
    assert moved == ["no", "some", "strong"]
    few = shift(base, random.normal(size=12))
    assert few.psi > 0.1 and few.level == "no"  # by chance
    with pytest.raises(InputError, match="500 and 0"):
        shift(base, [])


def test_nats_are_those_of_score(lm):
    some = texts(1, 9, longest=5)
    alone = sorted(some, key=lambda t: len(lm.encode_prompt(t)))
    wanted = [-lm.score(text).mean() for text in alone]
    assert np.allclose(text_nats(lm, some, batch_size=4), wanted, atol=1e-5)
    assert np.isfinite(text_nats(lm, ["rose " * 200])).all()  # cut


def test_prompts_like_the_training_are_no_drift(lm):
    report = drift(texts(2, 200), texts(3, 150), lm)
    assert [s.level for s in report.shifts().values()] == ["no"] * 3
    assert report.verdict().startswith("No drift is seen: ")
    few = drift(texts(2, 200), texts(3, 5), lm)
    assert "little could be" in few.verdict()
    assert DriftReport.from_dict(report.to_dict()) == report


def test_other_prompts_are_drift(lm):
    other = texts(3, 150, ["select", "from", "where", "42", "JOIN"], 30)
    report = drift(texts(2, 200), other, lm)
    assert report.tokens.level == report.unseen_words.level == "strong"
    assert report.unseen_words.live > 0.7 > 0.1 > report.unseen_words.reference
    assert "length and vocabulary" in report.verdict()
    assert "Label some of the live texts" in report.verdict()


def test_at_most_a_thousand_are_looked_at(lm):
    report = drift(texts(2, 1500, longest=4), ["a rose"] * 3, lm)
    assert (report.reference_texts, report.live_texts) == (1000, 3)
    with pytest.raises(InputError, match="Received: 0"):
        drift(texts(2, 9), [" "], lm)


def test_the_verb_prints_a_table_and_a_verdict(lm, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lm.save("model")
    with FeedbackStore("f.sqlite") as store:
        for i, text in enumerate(texts(3, 60, ["0"], 30)):
            said = [{"role": "user", "content": f"{text} {i}"}]
            store.add(Answer(id=str(i), prompt=said, text="x", model="m"))
    with open("train.jsonl", "w", encoding="utf-8") as file:
        for text in texts(2, 80):
            file.write(json.dumps({"text": text}) + "\n")
    answer = run(
        *("feedback", "f.sqlite", "--drift", "train.jsonl", "--model", "model")
    )
    assert answer.exit_code == 0, answer.output
    for word in ("nats per token", "unseen words", "PSI", "Strong drift of"):
        assert word in answer.stdout
    answer = run("feedback", "f.sqlite", "--drift", "train.jsonl")
    assert answer.exit_code == 2 and "with --model" in answer.stderr
