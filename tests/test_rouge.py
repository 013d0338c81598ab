"""ROUGE on real summaries, beside the package that it is taken from."""

import json

import pytest

from keras_llm.errors import InputError
from keras_llm.evaluate import rouge

scorer = pytest.importorskip(
    "rouge_score.rouge_scorer", reason="rouge-score is not installed"
)
KINDS = ["rouge1", "rouge2", "rougeL", "rougeLsum"]


@pytest.fixture(scope="module")
def papers(shared_data):
    lines = (shared_data / "scitldr/test.jsonl").read_text("utf-8")
    return [json.loads(line) for line in lines.splitlines()[:100]]


def test_means_are_those_of_the_package(papers):
    said = [" ".join(paper["source"][:2]) for paper in papers]
    references = [paper["target"][0] for paper in papers]
    theirs = scorer.RougeScorer(KINDS, use_stemmer=True)
    rows = [
        theirs.score(one, text)
        for one, text in zip(references, said, strict=True)
    ]
    found = rouge(said, references)
    for kind in KINDS:
        mean = sum(row[kind].fmeasure for row in rows) / len(rows)
        assert found[kind] == pytest.approx(mean, abs=1e-9)


def test_the_best_of_several_references_counts(papers):
    paper = next(paper for paper in papers if len(paper["target"]) > 1)
    text = paper["source"][0]
    each = [rouge([text], [one]) for one in paper["target"]]
    both = rouge([text], [paper["target"]])
    for kind in KINDS:
        best = max(one[kind] for one in each)
        assert both[kind] == pytest.approx(best, abs=1e-9)


def test_mistakes_are_sentences():
    with pytest.raises(InputError, match="as many references"):
        rouge(["a"], [])
    with pytest.raises(InputError, match="at least one text"):
        rouge([], [])
