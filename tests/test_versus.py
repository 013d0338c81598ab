"""Several models on the same items: fair, one at a time, and resumable."""

import gc
import hashlib
import json
import math
import subprocess
import sys
import weakref

import numpy as np
import pytest
from sources import ROOT
from test_docs import blocks

from keras_llm.compare.versus import compare
from keras_llm.errors import InputError
from keras_llm.evaluate import (
    Finding,
    Likelihood,
    Picture,
    ScoredTokens,
    Table,
    Words,
)
from keras_llm.evaluate.harness.task import Task


class Fake:
    """A subject that likes the right choice by `skill`, the same each time."""

    def __init__(self, name, skill=0.0, nats=3.0, stop_after=None):
        self.name, self.fingerprint = name, f"{name}-{skill}"
        self.skill, self.nats = skill, nats
        self.asked, self.stop_after = 0, stop_after

    def _count(self, requests):
        self.asked += len(requests)
        if self.stop_after is not None and self.asked > self.stop_after:
            raise KeyboardInterrupt

    def _luck(self, text):
        digest = hashlib.sha256(f"{self.name}{text}".encode()).digest()
        return int.from_bytes(digest[:4], "big") / 2**32

    def likelihoods(self, requests):
        self._count(requests)
        return [
            Likelihood(
                -3 * self._luck(context + rest)
                + self.skill * ("right" in rest),
                False,
            )
            for context, rest in requests
        ]

    def rolling(self, texts):
        self._count(texts)
        return [
            -(self.nats + self._luck(text)) * len(text.split())
            for text in texts
        ]

    def generate(self, prompts):
        self._count(prompts)
        good = [self._luck(p.context) < self.skill / 2 for p in prompts]
        return ["yes" if right else "no idea" for right in good]

    def token_scores(self, texts):
        return [ScoredTokens([], np.zeros(0)) for _ in texts]


@pytest.fixture
def data(tmp_path):
    lines = [
        json.dumps({"q": f"Question {n}:", "gold": n % 2, "a": "yes"})
        for n in range(120)
    ]
    (tmp_path / "test.jsonl").write_text("\n".join(lines))
    return tmp_path


CHOICE = Task(
    task="pick",
    test_split="test",
    doc_to_text="q",
    doc_to_target="gold",
    doc_to_choice="{{['right one', 'wrong'] if gold == 0 else "
    "['wrong one', 'right']}}",
    output_type="multiple_choice",
)
TARGET = Task(
    task="follow",
    test_split="test",
    doc_to_text="q",
    doc_to_target="a",
    output_type="loglikelihood",
)
ANSWER = Task(
    task="say",
    test_split="test",
    doc_to_text="q",
    doc_to_target="a",
    output_type="generate_until",
    metric_list=[{"metric": "exact_match"}, {"metric": "bleu"}],
)
ROLLING = Task(
    task="read",
    test_split="test",
    doc_to_text="",
    doc_to_target="q",
    output_type="loglikelihood_rolling",
)
TEXTS = [f"text number {n} " + "word " * (n % 7) for n in range(60)]


def quiet(*subjects, **options):
    return compare(subjects, progress=False, **options)


def test_the_better_model_is_found_on_the_same_items(data):
    report = quiet(Fake("good", 2.0), Fake("bad"), tasks=CHOICE, data=data)
    scores = {name: m["pick/acc"].value for name, m in report.scores.items()}
    (acc,) = [d for d in report.differences if d.metric == "pick/acc"]
    assert acc.shown and (acc.a, acc.b) == ("good", "bad")
    assert acc.lead.difference == pytest.approx(scores["good"] - scores["bad"])
    assert acc.lead.wins + acc.lead.ties + acc.lead.losses == 120
    items = [
        np.array([s["acc"] for s in report.benchmarks[name].samples["pick"]])
        for name in ("good", "bad")
    ]
    assert acc.lead.wins == (items[0] > items[1]).sum()
    stats = pytest.importorskip("scipy.stats")
    won, lost = acc.lead.wins, acc.lead.losses
    assert stats.binomtest(won, won + lost).pvalue < 0.001
    assert report.verdicts()[0].startswith("good is better than bad on pick/")


def test_equal_models_show_no_difference(data):
    report = quiet(
        *(Fake("a", 1.0), Fake("b", 1.0)),
        tasks=[CHOICE, TARGET],
        data=data,
        texts=TEXTS,
    )
    assert not any(one.shown for one in report.differences)
    assert report.blocks()[0].text.startswith("2 models on the same items. 0 ")


def test_every_kind_of_metric_has_its_item_values(data):
    report = quiet(
        *(Fake("a", 1.5), Fake("b", 0.5), Fake("c", 1.0, nats=4.0)),
        tasks=[CHOICE, TARGET, ANSWER, ROLLING],
        data=data,
        texts=TEXTS,
        limit=50,
    )
    metrics = list(dict.fromkeys(one.metric for one in report.differences))
    assert metrics == [
        "texts/bits_per_byte",
        "pick/acc",
        "pick/acc_norm",
        "follow/log_perplexity",
        "follow/acc",
        "say/exact_match",
        "read/bits_per_byte",
    ]
    assert len(report.differences) == 3 * len(metrics)
    for name, scores in report.scores.items():
        shown = {m.split("@")[0] for m in report.measures() if f"@{name}" in m}
        assert set(scores) <= shown
        for metric in ("texts/bits_per_byte", "read/bits_per_byte"):
            assert scores[metric].higher_is_better is False
        assert scores["texts/bits_per_byte"].count == 50
    words = report.blocks()[0].text
    assert "say/bleu" in words and "read/word_perplexity" in words
    assert "pick/acc" not in words


def test_leads_agree_with_the_scores(data):
    report = quiet(
        *(Fake("a", 1.5), Fake("b", 0.5, nats=4.0)),
        tasks=[CHOICE, TARGET, ANSWER, ROLLING],
        data=data,
        texts=TEXTS,
    )
    leads = {one.metric: one.lead.difference for one in report.differences}
    a, b = report.scores.values()
    for metric, lead in leads.items():
        if metric == "follow/log_perplexity":
            gap = math.log(
                b["follow/perplexity"].value / a["follow/perplexity"].value
            )
        else:
            sign = 1 if a[metric].higher_is_better else -1
            gap = sign * (a[metric].value - b[metric].value)
        assert lead == pytest.approx(gap, abs=1e-9), metric


def test_bits_per_byte_are_over_all_bytes():
    report = quiet(Fake("a"), Fake("b", nats=3.5), texts=[*TEXTS, ""])
    kept = [-Fake("a").rolling([text])[0] for text in TEXTS]
    size = sum(len(text.encode()) for text in TEXTS)
    found = report.scores["a"]["texts/bits_per_byte"]
    assert found.value == pytest.approx(sum(kept) / math.log(2) / size)
    (one,) = report.differences
    assert str(one).startswith("a is better than b on texts/bits_per_byte")


def test_answers_are_compared_and_kept_for_a_judge():
    prompts = [f"Is {n} a number?" for n in range(80)]
    report = quiet(
        *(Fake("a", 1.9), Fake("b", 0.2)),
        prompts=prompts,
        references=["yes"] * 80,
        metrics=["exact_match", "length"],
        limit=0.5,
    )
    assert [len(answers) for answers in report.answers.values()] == [40, 40]
    assert report.prompts == prompts[:40]
    (one,) = report.differences  # a length is neither better nor worse
    assert one.metric == "generation/exact_match" and one.shown
    plain = quiet(Fake("a"), Fake("b"), prompts=prompts)
    assert plain.differences == [] and plain.scores == {"a": {}, "b": {}}
    assert isinstance(plain.blocks()[0], Words)


def test_models_are_opened_one_at_a_time():
    alive = weakref.WeakSet()
    most = []

    def opener(name):
        def open_it():
            gc.collect()
            most.append(len(alive))
            subject = Fake(name)
            alive.add(subject)
            return subject

        return open_it

    report = compare(
        {name: opener("same") for name in "abc"}, texts=TEXTS, progress=False
    )
    assert most == [0, 0, 0] and list(report.models) == ["a", "b", "c"]


def test_a_killed_comparison_goes_on(data, tmp_path):
    asked = {"tasks": [CHOICE], "data": data, "texts": TEXTS}
    asked["cache"] = tmp_path / "cache"
    killed = Fake("b", 1.0, stop_after=240 + 30)
    with pytest.raises(KeyboardInterrupt):
        quiet(Fake("a", 1.0), killed, **asked)
    first, second = Fake("a", 1.0), Fake("b", 1.0)
    report = quiet(first, second, **asked)
    assert first.asked == 0 and second.asked == 60
    again = quiet(Fake("a", 1.0), Fake("b", 1.0), **asked)
    fresh = quiet(
        Fake("a", 1.0), Fake("b", 1.0), tasks=CHOICE, data=data, texts=TEXTS
    )
    assert again.differences == report.differences == fresh.differences


def test_it_is_a_finding_with_pictures(data):
    pytest.importorskip("matplotlib")
    report = quiet(
        *(Fake("a", 1.5), Fake("b", 0.5), Fake("c")),
        tasks=[CHOICE],
        data=data,
        texts=TEXTS,
    )
    assert isinstance(report, Finding) and report.title.endswith(
        "a and b and c"
    )
    blocks = report.blocks()
    assert sum(isinstance(block, Picture) for block in blocks) == 2
    first = next(block for block in blocks if isinstance(block, Table))
    assert {"metric", "a", "b", "c", "better"} == set(first.rows[0])
    json.dumps(report.to_dict())
    lead = report.measures()["pick/acc@a-b"]
    assert lead.value > 0 and lead.error > 0 and lead.count == 120


@pytest.mark.parametrize(
    ("subjects", "asked", "said"),
    [
        ([], {"texts": ["a"]}, "at least two models to compare. Received: 0"),
        ([Fake("a")], {"texts": ["a"]}, "Received: 1"),
        ([Fake("a"), Fake("a")], {"texts": ["a"]}, "'a' twice"),
        ([Fake("a"), lambda: Fake("a")], {"texts": ["a"]}, "'a' twice"),
        ([Fake("a"), Fake("b")], {}, "something to compare models by"),
        ([Fake("a"), Fake("b")], {"texts": [""]}, "something to compare"),
        (
            [Fake("a"), Fake("b")],
            {"prompts": ["a"], "references": ["b", "c"]},
            "2 references and 1 prompts",
        ),
        ([Fake("a"), Fake("b")], {"tasks": "pikc"}, "pikc"),
        ([Fake("a"), Fake("b")], {"texts": ["a"], "limit": -1}, "limit"),
        ([Fake("a"), lambda: 3], {"texts": ["a"]}, "that returned 3"),
        ([Fake("a"), 3], {"texts": ["a"]}, "Received: int"),
    ],
)
def test_a_mistake_is_a_sentence(subjects, asked, said):
    with pytest.raises(InputError, match=said):
        quiet(*subjects, **asked)


def test_a_wrong_path_shows_before_the_first_model_is_asked():
    first = Fake("a")
    with pytest.raises(InputError, match="nowhere, which does not exist"):
        quiet(first, "nowhere", texts=TEXTS)
    assert first.asked == 0


@pytest.mark.slow
def test_the_python_of_the_page_runs(tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    page = (ROOT / "docs" / "compare.md").read_text(encoding="utf-8")
    script = "\n".join(blocks(page, "python"))
    answer = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    assert "ours is better than random on texts/bits_per_byte" in answer.stdout
    assert "Add texts from cow: nats_per_character is" in answer.stdout


def test_chats_are_asked_through_each_models_template():
    class Tuned(Fake):
        def chat_prompt(self, messages):
            (message,) = messages
            return f"<{self.name}> {message['content']}"

        def generate(self, prompts):
            return [prompt.context for prompt in prompts]

    models = [Tuned("a"), Tuned("b")]
    found = compare(models, prompts=["Hi?"], chat=True, progress=False)
    assert found.answers == {"a": ["<a> Hi?"], "b": ["<b> Hi?"]}
    assert found.prompts == ["Hi?"]
    plain = [Fake("a"), Tuned("b")]
    with pytest.raises(InputError, match="chat template. Received: a, which"):
        compare(plain, prompts=["Hi?"], chat=True, progress=False)
