"""CrowS-Pairs and BBQ give the numbers of the lm-evaluation-harness."""

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from bias_subjects import RandomSubject, nats, question_items
from scipy import stats

from keras_llm.errors import InputError
from keras_llm.evaluate import Finding, bbq, crows_pairs
from keras_llm.evaluate.bias import SentencePair, read_crows_pairs
from keras_llm.evaluate.bias.questions import UNKNOWN
from keras_llm.evaluate.corrections import holm
from keras_llm.evaluate.statistics import bootstrap, resampled
from keras_llm.evaluate.subject import Likelihood


@pytest.fixture
def tasks():
    """The folder of the harness's tasks."""
    found = importlib.util.find_spec("lm_eval")
    if found is None or found.origin is None:
        pytest.skip("lm-eval is not installed")
    return Path(found.origin).parent / "tasks"


@pytest.fixture
def published(shared_data):
    return shared_data / "crows_pairs" / "crows_pairs_anonymized.csv"


def functions(folder):
    """The functions of one of the harness's tasks."""
    path = folder / "utils.py"
    spec = importlib.util.spec_from_file_location("harness_task", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TASK = """
task: crows
dataset_path: csv
dataset_kwargs: {data_files: {test: %s}}
test_split: test
output_type: multiple_choice
doc_to_text: ""
doc_to_target: 0
doc_to_choice: !function utils.doc_to_choice
target_delimiter: ""
process_results: !function utils.process_results
metric_list:
  - {metric: likelihood_diff, aggregation: mean, higher_is_better: false}
  - {metric: pct_stereotype, aggregation: mean, higher_is_better: false}
"""


@pytest.mark.filterwarnings("ignore")
def test_the_harness_gives_the_same_numbers(
    published, tasks, tmp_path, monkeypatch
):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    import lm_eval
    from lm_eval.api.model import LM
    from lm_eval.tasks import TaskManager

    class Random(LM):
        def loglikelihood(self, requests):
            return [(nats("".join(one.args)), False) for one in requests]

        def loglikelihood_rolling(self, requests):
            raise AssertionError("not asked")

        def generate_until(self, requests):
            raise AssertionError("not asked")

    (tmp_path / "crows.yaml").write_text(TASK % published)
    shutil.copy(tasks / "crows_pairs" / "utils.py", tmp_path)
    manager = TaskManager(include_path=str(tmp_path), include_defaults=False)
    theirs = lm_eval.simple_evaluate(
        Random(), tasks=["crows"], task_manager=manager, bootstrap_iters=0
    )["results"]["crows"]
    ours = crows_pairs(RandomSubject(), published).measures()
    for name in ("pct_stereotype", "likelihood_diff"):
        measure = ours[f"crows_pairs/{name}"]
        assert measure.value == pytest.approx(theirs[f"{name},none"], abs=1e-12)
        assert measure.count == 1508
    again = functions(tasks / "crows_pairs")
    stereotyped = [
        again.process_results({}, [(nats(a), 0), (nats(b), 0)])
        for a, b, *_ in read_crows_pairs(published)
    ]
    values = [one["pct_stereotype"] for one in stereotyped]
    assert ours["crows_pairs/pct_stereotype"].error == pytest.approx(
        stats.sem(values)
    )


def test_groups_and_tests_of_the_published_pairs(published):
    pairs = read_crows_pairs(published)
    rows = {r["group"]: r for r in crows_pairs(RandomSubject(), pairs).rows}
    types = sorted({pair.bias_type for pair in pairs})
    assert list(rows) == ["all", "stereo", "antistereo", *types]
    for name, row in rows.items():
        among = [
            nats(pair.more) > nats(pair.less)
            for pair in pairs
            if name in ("all", pair.direction, pair.bias_type)
        ]
        assert row["pairs"] == len(among)
        test = stats.binomtest(sum(among), len(among))
        assert row["p_value"] == pytest.approx(test.pvalue)
        interval = test.proportion_ci(method="wilson")
        assert (row["low"], row["high"]) == pytest.approx(tuple(interval))
    expected = holm([rows[name]["p_value"] for name in types])
    assert [rows[name]["p_holm"] for name in types] == expected
    assert rows["all"]["p_holm"] is None


def test_a_stereotyping_model_is_found(published):
    pairs = read_crows_pairs(published)
    liked = {pair.more for pair in pairs}

    class Biased(RandomSubject):
        def likelihoods(self, requests):
            return [
                Likelihood(-1.0 if one.continuation in liked else -2.0, False)
                for one in requests
            ]

    report = crows_pairs(Biased(), pairs)
    row = report.rows[0]
    assert row["pct_stereotype"] > 0.99 and row["p_value"] < 1e-300
    assert isinstance(report, Finding)
    json.dumps(report.to_dict())
    assert len(report.blocks()[1].rows) == len(report.rows)


def test_a_tie_is_no_stereotype():
    pair = SentencePair("a", "a", "stereo", "gender")
    row = crows_pairs(RandomSubject(), [pair]).rows[0]
    assert row["pct_stereotype"] == 0 and row["pct_stderr"] is None


def test_mistakes_in_pairs(tmp_path):
    with pytest.raises(InputError, match="at least one sentence pair"):
        crows_pairs(RandomSubject(), [])
    with pytest.raises(InputError, match="no such file|cannot be read"):
        crows_pairs(RandomSubject(), tmp_path / "none.csv")
    path = tmp_path / "pairs.csv"
    path.write_text("sent_more,sent_less\na,b\n")
    with pytest.raises(InputError, match="row 1 without stereo_antistereo"):
        crows_pairs(RandomSubject(), path)


class Docs(list):
    def map(self, function):
        return [function(dict(doc)) for doc in self]


def test_bbq_is_the_harness_s(tasks):
    module, items = functions(tasks / "bbq"), question_items()
    found = []
    for doc in module.process_docs(Docs(items)):
        context = f"{doc['context']}\n\nQ: {doc['question']}\nA: "
        results = [
            (nats(context + choice), False)
            for choice in module.doc_to_choice(doc)
        ]
        found.append(module.process_results_multiple_choice(doc, results))
    report = bbq(RandomSubject(), items)
    measures = report.measures()

    def theirs(name, aggregate):
        return aggregate([one[name] for one in found])

    for ours, name, aggregate in (
        ("accuracy_ambig", "accuracy_amb", module.agg_accuracy_amb),
        ("accuracy_disambig", "accuracy_disamb", module.agg_accuracy_disamb),
        ("bias_ambig", "amb_bias_score", module.agg_amb_bias_scores),
        ("bias_disambig", "disamb_bias_score", module.agg_disamb_bias_scores),
    ):
        expected = theirs(name, aggregate)
        assert measures[f"bbq/{ours}"].value == pytest.approx(expected)
    for row in report.rows[2:]:
        short = {"ambig": "amb", "disambig": "disamb"}[row["condition"]]
        their_score = getattr(module, f"agg_{short}_bias_scores")
        among = [
            one[f"{short}_bias_score"]
            for one, item in zip(found, items, strict=True)
            if item["category"] == row["category"]
        ]
        expected = their_score(among)
        if row["bias"] is not None and expected != 0:
            assert row["bias"] == pytest.approx(expected)
    assert UNKNOWN == tuple(module.UNKNOWN_RESPONSES)
    facts = np.array([one["disamb_bias_score"] for one in found], float)
    facts = facts[facts[:, 3] == 1][:, 1:3]  # stereotyped, names somebody
    facts = np.tile(facts, (8, 1))

    def score(drawn):
        return 2 * np.divide(*np.moveaxis(drawn.sum(axis=1), -1, 0)) - 1

    row = bbq(RandomSubject(), items * 8).rows[1]
    expected = bootstrap(facts, score)
    assert (row["low"], row["high"]) == pytest.approx(expected, abs=0.03)
    error = resampled(facts, score).std()
    assert row["bias_stderr"] == pytest.approx(error, rel=0.05)


class Knows(RandomSubject):
    """Answers as a function of the item's question says."""

    def __init__(self, items, answer):
        self.wanted = {}
        for item in items:
            key = f"{item['context']}\n\nQ: {item['question']}\nA:"
            key += item["category"]
            self.wanted[key] = answer(item)

    def likelihoods(self, requests):
        return [
            Likelihood(0.0 if self.knows(one) else -1.0, False)
            for one in requests
        ]

    def knows(self, one):
        return any(
            key.startswith(one.context) and one.continuation == f" {answer}"
            for key, answer in self.wanted.items()
        )


def stereotype(item):
    negative = item["question_polarity"] == "neg"
    stereotyped = {"The old man"} if negative else {"The young man"}
    return stereotyped.pop()


def only(category):
    return [one for one in question_items() if one["category"] == category]


def test_scores_have_the_signs_of_the_paper():
    items = only("Age")
    by_stereotype = bbq(Knows(items, stereotype), items).measures()
    assert by_stereotype["bbq/bias_disambig"].value == 1
    assert by_stereotype["bbq/bias_ambig"].value == 1
    assert by_stereotype["bbq/accuracy_ambig"].value == 0

    def against(item):
        old = stereotype(item) == "The old man"
        return "The young man" if old else "The old man"

    reverse = bbq(Knows(items, against), items).measures()
    assert reverse["bbq/bias_disambig"].value == -1
    assert reverse["bbq/bias_ambig"].error == 0
    cautious = bbq(Knows(items, lambda item: "Unknown"), items)
    assert cautious.measures()["bbq/accuracy_ambig"].value == 1
    assert all(row["bias"] is None for row in cautious.rows)
    assert isinstance(cautious, Finding)
    json.dumps(cautious.to_dict())
    right = bbq(Knows(items, lambda one: one[f"ans{one['label']}"]), items)
    assert right.measures()["bbq/accuracy_disambig"].value == 1
    assert abs(right.measures()["bbq/bias_disambig"].value) <= 1


def test_bbq_reads_json_lines_and_refuses_other_forms(write):
    items = question_items()
    path = write("\n".join(map(json.dumps, items)).encode())
    assert bbq(RandomSubject(), path).rows == bbq(RandomSubject(), items).rows
    with pytest.raises(InputError, match="0 such answers"):
        wrong = items[0] | {
            "answer_info": dict.fromkeys(items[0]["answer_info"], ["a", "b"])
        }
        bbq(RandomSubject(), [wrong])
    with pytest.raises(InputError, match="label 3"):
        bbq(RandomSubject(), [items[0] | {"label": 3}])
    with pytest.raises(InputError, match="row 1 without context"):
        bbq(RandomSubject(), [{"category": "Age"}])


def test_the_interval_of_a_bias_score_narrows():
    few, many = question_items(), question_items() * 16
    widths = [
        np.subtract(row["high"], row["low"])
        for items in (few, many)
        for row in bbq(RandomSubject(), items).rows[:1]
    ]
    assert widths[1] == pytest.approx(widths[0] / 4, rel=0.35)
