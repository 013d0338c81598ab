"""Answers are kept, a killed run goes on, and reports say what was found."""

import json
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from harness_peer import HashSubject, harness, write_task
from test_harness_parity import CASES, ROWS

from keras_llm.errors import InputError
from keras_llm.evaluate import (
    BenchmarkReport,
    Continuation,
    Finding,
    Likelihood,
    Measure,
    Prompt,
    Table,
    Task,
    chrf,
    evaluate_tasks,
)
from keras_llm.evaluate.harness import asking
from keras_llm.evaluate.harness.asking import ask
from keras_llm.evaluate.harness.store import AnswerStore

NAMES = ["choice", "lambada", "read", "sums"]


@pytest.fixture
def tasks(tmp_path):
    """Files of a task of each kind."""
    paths = []
    for name in NAMES:
        fields = dict(CASES[name])
        rows = fields.pop("rows", ROWS)
        paths.append(write_task(tmp_path, rows, task=name, **fields))
    return paths


@pytest.fixture
def report(tasks):
    return evaluate_tasks(HashSubject(), tasks, progress=False)


def pairs(*texts: str) -> list[Continuation]:
    return [Continuation(*text.split("|")) for text in texts]


def test_families_are_asked_together_the_longest_first(monkeypatch):
    monkeypatch.setattr(asking, "LIKELIHOODS_AT_ONCE", 3)
    requests = pairs("a|b", "long context|b", "a|c", "mid|b", "x|longest one")
    requests += pairs("long context|c", "a|d", "a|b")
    chunks = []

    class Subject(HashSubject):
        def likelihoods(self, requests):
            chunks.append([f"{one.context}|{one[1]}" for one in requests])
            return super().likelihoods(requests)

    subject = Subject()
    found = ask(subject, requests, AnswerStore(None, "1"), progress=False)
    assert chunks == [
        ["x|longest one", "long context|b", "long context|c"],
        ["mid|b", "a|b", "a|c", "a|d"],  # a family is not cut
    ]
    assert set(found) == set(requests)
    assert len(subject.asked) == 7  # one of them was there twice


def test_prompts_and_texts_are_asked_the_longest_first():
    subject = HashSubject()
    requests = ["b", "a" * 9, Prompt("x"), Prompt("x" * 5), "a" * 4]
    ask(subject, requests, AnswerStore(None, "1"), progress=True)
    assert subject.asked == [*map("a".__mul__, (9, 4)), "b", *requests[3:1:-1]]


def test_a_wrong_subject_is_named():
    class Short(HashSubject):
        def likelihoods(self, requests):
            return []

        def rolling(self, texts):
            return [float("nan") for _ in texts]

    with pytest.raises(InputError, match="1 answers of hash. Received: 0"):
        ask(Short(), pairs("a|b"), AnswerStore(None, "1"))
    with pytest.raises(InputError, match="Received: NaN for 'text'"):
        ask(Short(), ["text"], AnswerStore(None, "1"))


def test_what_a_model_refuses_is_shown():
    class Narrow(HashSubject):
        def likelihoods(self, requests):
            raise InputError("Expected 2 tokens.")

    shown = "Expected 2 tokens. The longest of the 2 requests in hand: 'long'."
    with pytest.raises(InputError, match=shown):
        ask(Narrow(), pairs("context|b", "x|long"), AnswerStore(None, "1"))


def test_numpy_s_numbers_are_kept_as_plain_ones():
    class Numpy(HashSubject):
        def likelihoods(self, requests):
            return [Likelihood(np.float32(-0.5), np.bool_(True))]

    with AnswerStore(None, "1") as store:
        ask(Numpy(), pairs("a|b"), store)
        assert store.find(pairs("a|b")) == {("a", "b"): (-0.5, True)}


def test_answers_are_kept_by_model_and_kind(tmp_path):
    answered = [("text", -1.5), (Prompt("text"), "é\n"), (Prompt("x"), "")]
    with AnswerStore(tmp_path / "new" / "kept", "model-1") as store:
        store.put(answered)
    assert (tmp_path / "new" / "kept" / "answers.sqlite").is_file()
    with AnswerStore(tmp_path / "new" / "kept", "model-1") as store:
        assert store.find(one for one, _ in answered) == dict(answered)
        assert store.find([Prompt("text", seed=1), *pairs("text|")]) == {}
    with AnswerStore(tmp_path / "new" / "kept", "model-2") as store:
        assert store.find(["text"]) == {}


def test_files_that_are_no_store_are_left_alone(tmp_path):
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE users (name TEXT)")
    connection.close()
    with pytest.raises(InputError, match="another program's database"):
        AnswerStore(other, "1")
    broken = tmp_path / "broken.sqlite"
    broken.write_bytes(b"no database at all" * 99)
    with pytest.raises(InputError, match="Remove the file to begin anew"):
        AnswerStore(broken, "1")
    with pytest.raises(OSError, match="the store of answers /proc/nowhere"):
        AnswerStore("/proc/nowhere.sqlite", "1")
    assert broken.read_bytes().startswith(b"no database")


def test_a_second_run_asks_nothing_and_finds_the_same(tasks, tmp_path):
    first, second = HashSubject(), HashSubject()
    store = tmp_path / "answers.sqlite"
    options = {"cache": store, "progress": False}
    found = evaluate_tasks(first, tasks, **options)
    again = evaluate_tasks(second, tasks, **options)
    assert first.asked and not second.asked
    assert again.measures() == found.measures()
    assert again.samples == found.samples
    other = HashSubject()
    other.fingerprint = "2"
    evaluate_tasks(other, tasks, **options)
    assert len(other.asked) == len(first.asked)


KILLED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from harness_peer import HashSubject
from keras_llm.evaluate import evaluate_tasks
from keras_llm.evaluate.harness import asking
asking.LIKELIHOODS_AT_ONCE = 20

class Killed(HashSubject):
    def likelihoods(self, requests):
        found = super().likelihoods(requests)
        if len(self.asked) > 40:
            os.kill(os.getpid(), signal.SIGKILL)
        return found

evaluate_tasks(Killed(), {task!r}, cache={cache!r})
"""


def test_a_killed_run_goes_on(tasks, tmp_path):
    """What was answered before the chunk in hand is not asked again."""
    cache = str(tmp_path / "answers.sqlite")
    script = KILLED.format(
        tests=str(Path(__file__).parent), task=str(tasks[0]), cache=cache
    )
    ended = subprocess.run([sys.executable, "-c", script], check=False)
    assert ended.returncode == -signal.SIGKILL
    connection = sqlite3.connect(cache)
    (kept,) = connection.execute("SELECT count(*) FROM answers").fetchone()
    connection.close()
    whole, rest = HashSubject(), HashSubject()
    found = evaluate_tasks(rest, tasks[0], cache=cache, progress=False)
    expected = evaluate_tasks(whole, tasks[0], progress=False)
    assert 20 <= kept <= 40
    assert len(rest.asked) == len(whole.asked) - kept
    assert found.measures() == expected.measures()


def test_a_report_is_a_finding(report):
    assert isinstance(report, Finding)
    measures = report.measures()
    assert set(measures) >= {
        "choice/acc",
        "lambada/perplexity",
        "read/bits_per_byte",
        "sums/exact_match,strict",
        "sums/exact_match,loose",
    }
    assert measures["choice/brier_score"].higher_is_better is False
    assert measures["lambada/acc"].count == 30
    table = next(one for one in report.blocks() if isinstance(one, Table))
    row = next(r for r in table.rows if r["metric"] == "exact_match,loose")
    assert row["task"], row["shots"] == ("sums", 5)
    assert isinstance(row["value"], Measure)
    json.dumps(report.to_dict())  # plain values


def test_a_report_shows_its_worst_and_best_documents(report):
    shown = [vars(one).get("text") for one in report.blocks()]
    titles = [text for text in shown if text and ": where" in text]
    assert "choice: where acc is worst" in titles
    assert "read: where word_perplexity is worst" not in titles
    said = shown[shown.index("choice: where acc is worst") + 1]
    losses = [item.loss for item in report.items("choice/acc")]
    wrong = [item for item in report.items("choice/acc") if not item.value]
    worst = max(wrong, key=lambda item: item.loss)
    assert f"acc 0, {worst.loss:.4g} nats, the model's answer:" in said
    assert worst.text.endswith(shown[shown.index(said) + 1][-50:])
    assert max(losses) >= worst.loss


def test_values_are_those_of_each_document(report):
    for name, measure in report.measures().items():
        task, metric = name.split("/")
        if metric in ("f1", "mcc"):
            with pytest.raises(InputError, match="over all documents togeth"):
                report.values(name)
            continue
        values = report.values(name)
        assert len(values) == measure.count
        if metric == "perplexity":
            assert np.exp(values.mean()) == pytest.approx(measure.value)
        elif task != "read":
            assert values.mean() == pytest.approx(measure.value)
    pages = report.values("read/bits_per_byte")
    sizes = [len(s["golds"][0].encode()) for s in report.samples["read"]]
    whole = (pages * sizes).sum() / sum(sizes)
    assert whole == pytest.approx(report.measures()["read/bits_per_byte"].value)
    with pytest.raises(InputError, match="Did you mean choice/acc_norm"):
        report.values("choice/accnorm")


def test_items_say_what_was_read_and_answered(report):
    item = report.items("choice/acc")[0]
    sample = report.samples["choice"][0]
    gold = sample["choices"][sample["golds"][0]]
    assert item.text.endswith(f"\nA: {gold}") and item.source == "choice"
    assert item.label == f"choice {sample['golds'][0]}"
    totals = [one[0][0] for one in sample["resps"][:2]]
    assert item.answer == sample["choices"][int(np.argmax(totals))]
    assert item.loss == -totals[sample["golds"][0]]
    item = report.items("sums/exact_match,strict")[0]
    assert item.text.endswith("Answer: #### 0.") and item.loss is None
    assert item.answer == report.samples["sums"][0]["filtered_resps"][0]


def test_a_saved_report_is_read_again(report, tasks, tmp_path):
    folder = tmp_path / "out"
    report.save(folder)
    names = {f"samples_{name}.jsonl" for name in NAMES}
    assert {file.name for file in folder.iterdir()} == names | {"results.json"}
    again = BenchmarkReport.load(folder)
    assert again.measures() == report.measures()
    assert again.samples == report.samples
    smaller = evaluate_tasks(HashSubject(), tasks[:1], progress=False)
    smaller.save(folder)  # replaces the earlier one
    assert not (folder / "samples_read.jsonl").exists()
    (folder / "samples_choice.jsonl").unlink()
    with pytest.raises(InputError, match="the documents of choice at"):
        BenchmarkReport.load(folder)
    with pytest.raises(InputError, match="Received: none there"):
        BenchmarkReport.load(tmp_path)
    (folder / "notes.txt").touch()
    with pytest.raises(InputError, match="holds other files"):
        smaller.save(folder)


def test_the_report_has_the_harness_s_keys(monkeypatch, tasks, tmp_path):
    found = evaluate_tasks(HashSubject(), tasks, limit=0.2, progress=False)
    theirs = harness(monkeypatch, tmp_path, NAMES, limit=0.2)
    mine = found.to_dict()
    for key in ("n-samples", "n-shot", "higher_is_better", "versions"):
        assert mine[key] == theirs[key], key
    assert theirs.keys() - mine.keys() <= {
        "samples",
        "pretty_env_info",
        "transformers_version",
        "lm_eval_version",
        "upper_git_hash",
        *(key for key in theirs if key.startswith(("tokenizer", "eot", "max"))),
    }
    for name, config in theirs["configs"].items():
        for key in set(config) & set(mine["configs"][name]) - {"metadata"}:
            if key not in ("fewshot_config", "generation_kwargs"):
                assert mine["configs"][name][key] == config[key], (name, key)
    for task, samples in theirs["samples"].items():
        assert samples[0].keys() <= found.samples[task][0].keys()


def test_seeds_draw_other_examples(tasks):
    def prompts(seed):
        found = evaluate_tasks(
            HashSubject(), tasks[3], seed=seed, progress=False
        )
        return [s["prompt_hash"] for s in found.samples["sums"]]

    assert prompts(1) == prompts(1) != prompts(2)


def test_seeds_draw_other_answers(tmp_path):
    fields = dict(CASES["vote"])
    path = write_task(tmp_path, fields.pop("rows"), task="vote", **fields)
    seeds = {}
    for seed in (1, 2):
        subject = HashSubject()
        evaluate_tasks(subject, path, seed=seed, progress=False)
        seeds[seed] = {prompt.seed for prompt in subject.asked}
    assert seeds == {1: {5, 6, 7, 8, 9}, 2: {10, 11, 12, 13, 14}}


def test_no_bootstrap_no_drawn_errors(tasks):
    found = evaluate_tasks(HashSubject(), tasks, bootstrap=0, progress=False)
    measures = found.measures()
    assert measures["choice/mcc"].error is None
    assert measures["read/bits_per_byte"].error is None
    assert measures["choice/acc"].error > 0  # by the formula


def test_reading_is_never_few_shot(tasks):
    found = evaluate_tasks(HashSubject(), tasks, num_fewshot=1, progress=False)
    shots = {"choice": 1, "lambada": 1, "read": 0, "sums": 1}
    assert found.to_dict()["n-shot"] == shots


def test_zero_stays_zero(tmp_path):
    fields = CASES["choice"] | {"num_fewshot": 0}
    path = write_task(tmp_path, ROWS, task="zero", **fields)
    found = evaluate_tasks(HashSubject(), path, num_fewshot=2, progress=False)
    assert found.to_dict()["n-shot"] == {"zero": 0}


def test_likelihoods_of_nothing_do_not_break_the_perplexity(tmp_path):
    class Never(HashSubject):
        def likelihoods(self, requests):
            return [Likelihood(-np.inf, False) for _ in requests]

    rows = [{"t": "a b"}, {"t": "c d"}]
    path = write_task(
        tmp_path,
        {"test": rows},
        task="never",
        output_type="loglikelihood",
        doc_to_text="x",
        doc_to_target="t",
    )
    with pytest.raises(InputError, match="a column x"):
        evaluate_tasks(Never(), path)
    path.write_text(
        path.read_text().replace("doc_to_text: x", "num_fewshot: 0")
    )
    found = evaluate_tasks(Never(), path, progress=False)
    assert found.measures()["never/perplexity"] == Measure(
        np.inf, None, 2, False
    )


def test_overlap_where_some_texts_share_nothing():
    """Sacrebleu's own bootstrap of chrF fails on these."""
    found = chrf(["ab cd", *["zz"] * 20], ["ab ce", *["qq"] * 20])
    assert found.score >= 0


def test_tasks_can_be_made_in_python(tmp_path):
    (tmp_path / "test.csv").write_text("q,a\n1+1=,2\n", encoding="utf-8")
    task = Task(
        task="sums",
        test_split="test",
        doc_to_text="q",
        doc_to_target="a",
        metric_list=[{"metric": "squad_f1"}, {"metric": "rougeL"}],
    )
    found = evaluate_tasks(HashSubject(), task, tmp_path, progress=False)
    assert found.measures()["sums/squad_f1"].count == 1
