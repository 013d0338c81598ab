"""BLEU, chrF, TER and diversity on real texts, beside sacrebleu itself."""

import collections
import json

import numpy as np
import pytest

from keras_llm.errors import InputError
from keras_llm.evaluate import (
    bleu,
    chrf,
    distinct_n,
    generation_metrics,
    generation_scores,
    repetition_rate,
    repetition_rates,
    self_bleu,
    sentence_scores,
    ter,
)
from keras_llm.evaluate.finding import Code, Finding, Table

sacrebleu = pytest.importorskip(
    "sacrebleu.metrics", reason="sacrebleu is not installed"
)
KINDS = ["rouge1", "rouge2", "rougeL", "rougeLsum"]


@pytest.fixture(scope="module")
def papers(shared_data):
    """First sentences of papers, and what their authors say in one."""
    lines = (shared_data / "scitldr/test.jsonl").read_text("utf-8")
    rows = [json.loads(line) for line in lines.splitlines()[:40]]
    return [row["source"][0] for row in rows], [row["target"] for row in rows]


@pytest.fixture(scope="module")
def pairs(shared_data):
    """Real sentences; each beside the next but one, as a bad translation."""
    path = shared_data / "tatoeba/tatoeba.deu-eng.eng"
    lines = path.read_text("utf-8").splitlines()[:200]
    return lines, [
        f"{line} {after}"
        for line, after in zip(lines, [*lines[1:], ""], strict=True)
    ]


def streams(lists):
    most = max(map(len, lists))
    return [
        [one[i] if i < len(one) else None for one in lists] for i in range(most)
    ]


@pytest.mark.parametrize(
    "ours, theirs, options",
    [
        (bleu, "BLEU", {}),
        (bleu, "BLEU", {"tokenize": "char", "lowercase": True}),
        (chrf, "CHRF", {"word_order": 2}),
        (chrf, "CHRF", {"word_order": 0}),
        (ter, "TER", {}),
        (ter, "TER", {"case_sensitive": True}),
    ],
)
def test_corpus_scores_are_sacrebleus(papers, ours, theirs, options):
    said, lists = papers
    assert len({len(one) for one in lists}) > 1  # other numbers of references
    found = ours(said, lists, **options)
    metric = getattr(sacrebleu, theirs)(**options)
    expected = metric.corpus_score(said, streams(lists), n_bootstrap=1000)
    assert found.score == pytest.approx(expected.score, abs=1e-9)
    assert found.signature == str(metric.get_signature())
    assert found.name == expected.name
    half = (found.interval.high - found.interval.low) / 2
    assert half == pytest.approx(float(expected._ci), abs=1e-5)
    assert found.interval.low < found.score < found.interval.high
    assert ours(said, lists, **options, resamples=0).interval is None


@pytest.mark.parametrize("score", [bleu, chrf, ter])
def test_resamples_that_share_nothing_have_an_interval(score):
    said = ["xxx", "the cat sat down", "qq"]
    right = ["aaa", "the cat sat down", "zz"]
    low, high = score(said, right).interval
    assert low < score(said, right).score < high


def test_one_reference_may_be_a_string(pairs):
    said, references = pairs
    assert bleu(said, references).score == pytest.approx(
        sacrebleu.BLEU().corpus_score(said, [references]).score, abs=1e-9
    )


@pytest.mark.parametrize("kind", ["bleu", "chrf", "ter"])
def test_scores_of_sentences_are_sacrebleus(papers, kind):
    said, lists = papers
    metric = {
        "bleu": sacrebleu.BLEU(effective_order=True),
        "chrf": sacrebleu.CHRF(word_order=2),
        "ter": sacrebleu.TER(),
    }[kind]
    expected = [
        metric.sentence_score(text, several).score
        for text, several in zip(said, lists, strict=True)
    ]
    found = sentence_scores(kind, said, lists)
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_self_bleu_is_the_mean_of_sacrebleus_sentences(papers, pairs):
    texts = [*papers[0][:25], *pairs[0][:25], *pairs[1][:10], "", "Yes."]
    metric = sacrebleu.BLEU(effective_order=True)
    expected = [
        metric.sentence_score(text, texts[:i] + texts[i + 1 :]).score
        for i, text in enumerate(texts)
    ]
    assert self_bleu(texts) == pytest.approx(np.mean(expected), abs=1e-9)
    with pytest.raises(InputError, match="at least two texts"):
        self_bleu(["one"])


def test_distinct_and_repeated_ngrams_by_counting(papers):
    for n in (1, 2, 4):
        every, rates = [], []
        for text in papers[0]:
            words = text.split()
            grams = [
                " ".join(words[i : i + n]) for i in range(len(words) - n + 1)
            ]
            counts = collections.Counter(grams)
            repeated = sum(count - 1 for count in counts.values())
            rates.append(repeated / len(grams) if grams else 0.0)
            every += grams
        assert distinct_n(papers[0], n) == len(set(every)) / len(every)
        np.testing.assert_allclose(repetition_rates(papers[0], n), rates)
        assert repetition_rate(papers[0], n) == pytest.approx(np.mean(rates))


def test_token_ids_are_counted_like_words():
    assert repetition_rate([[1, 2, 1, 2, 1]], 2) == 0.5
    assert distinct_n([[1, 2], [1, 2]], 2) == 0.5
    assert distinct_n(["short"], 2) == repetition_rate(["short"], 2) == 0.0
    with pytest.raises(InputError, match="at least one text"):
        repetition_rate([])


def test_a_report_has_the_numbers_of_every_metric(papers):
    said, lists = papers
    scorer = pytest.importorskip("rouge_score.rouge_scorer")
    report = generation_scores(said, lists, generation_metrics())
    assert isinstance(report, Finding)
    theirs = scorer.RougeScorer(KINDS, use_stemmer=True)
    rows = [
        theirs.score_multi(several, text)
        for several, text in zip(lists, said, strict=True)
    ]
    for kind in KINDS:
        expected = [row[kind].fmeasure for row in rows]
        np.testing.assert_allclose(report.values(kind), expected, atol=1e-9)
        measure = report.measures()[f"generation/{kind}"]
        assert measure.value == pytest.approx(np.mean(expected), abs=1e-9)
        error = np.std(expected, ddof=1) / len(expected) ** 0.5
        assert measure.error == pytest.approx(error, abs=1e-9)
    found = report.measures()
    assert found["generation/bleu"].value == bleu(said, lists).score
    interval = bleu(said, lists).interval
    assert found["generation/bleu"].error == pytest.approx(
        (interval.high - interval.low) / 3.92, rel=1e-4
    )
    assert found["generation/ter"].higher_is_better is False
    assert found["generation/length"].higher_is_better is None
    assert len(report.values("bleu")) == len(said)
    json.dumps(report.to_dict())


def test_a_page_shows_the_worst_texts_with_their_prompts():
    report = generation_scores(
        ["4", "5"], ["4", ["6", "six"]], ["exact_match"], ["2+2=", "3+3="]
    )
    table = next(b for b in report.blocks() if isinstance(b, Table))
    assert table.rows[0]["score"].value == 0.5
    first = next(b for b in report.blocks() if isinstance(b, Code))
    assert first.text.splitlines() == [
        "exact_match: 0",
        "prompt: 3+3=",
        "text: 5",
        "reference: 6",
        "reference: six",
    ]
    only = generation_scores(["a"], ["a"], ["distinct_1"])
    assert not any(isinstance(block, Code) for block in only.blocks())
    assert only.measures()["generation/distinct_1"].error is None


def test_mistakes_are_sentences(monkeypatch):
    with pytest.raises(InputError, match="as many references"):
        bleu(["a"], [])
    with pytest.raises(InputError, match="Received: 0 for text 1"):
        chrf(["a", "b"], ["a", []])
    with pytest.raises(InputError, match="tokenize to be one of '13a'"):
        bleu(["a"], ["a"], tokenize="moses")
    with pytest.raises(InputError, match="kind to be one of 'bleu'"):
        sentence_scores("meteor", ["a"], ["a"])
    with pytest.raises(InputError, match="Received: meteor"):
        generation_scores(["a"], ["a"], ["meteor"])
    with pytest.raises(InputError, match="2 prompts and 1 texts"):
        generation_scores(["a"], ["a"], ["bleu"], prompts=["x", "y"])
    report = generation_scores(["a"], ["a"], ["exact_match", "distinct_1"])
    with pytest.raises(InputError, match="exact_match. Received: 'distinct_1'"):
        report.values("distinct_1")
    monkeypatch.setitem(__import__("sys").modules, "sacrebleu", None)
    with pytest.raises(InputError, match=r'pip install "keras_llm\[eval\]"'):
        bleu(["a"], ["a"])
