"""`keras-llm compare`: checked before a model is opened, shown, written."""

import json
import subprocess
import sys

import pytest
from test_cli_corpus import run
from test_versus import Fake

import keras_llm.compare
from keras_llm.cli import app  # noqa: F401  (registers the verbs)

MODELS = {"new": 2.0, "old": 0.5, "other": 0.0}
LINES = [
    json.dumps({"prompt": f"Is {n} a number?", "reference": "yes"})
    for n in range(60)
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A place with texts and prompts, and models that need no TensorFlow."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts").mkdir()
    for n in range(30):
        (tmp_path / "texts" / f"{n}.txt").write_text(f"text {n} " * (1 + n % 5))
    (tmp_path / "prompts.jsonl").write_text("\n".join(LINES))
    for name in MODELS:  # what a server of ours would be
        (tmp_path / f"{name}.litertlm").write_bytes(b"")
    opened = []

    def open_fake(source, name=None, **options):
        opened.append(source)
        skill = MODELS[source.removesuffix(".litertlm")]
        subject = Fake(source, skill, nats=3.0 - skill / 4)
        return subject

    monkeypatch.setattr(keras_llm.compare, "open_subject", open_fake)
    monkeypatch.setattr("keras_llm.compare.asking.open_subject", open_fake)
    for module in ("compare", "evaluate"):
        monkeypatch.setattr(f"keras_llm.cli.{module}.start_tensorflow", list)
    return opened


PAIR = ("compare", "new.litertlm", "old.litertlm")
TEXTS = ("--texts", "texts")
PROMPTS = ("--prompts", "prompts.jsonl")
LEAD = "texts/bits_per_byte@new.litertlm-old.litertlm"


def test_texts_and_answers_are_compared_and_written(folder, tmp_path):
    answer = run(*PAIR, *TEXTS, *PROMPTS)
    assert answer.exit_code == 0, answer.output
    shown = " ".join(answer.stdout.split())
    assert "new.litertlm is better than old.litertlm on texts/bits_per" in shown
    assert "generation/exact_match" in shown and "report.html" in shown
    found = json.loads((tmp_path / "runs/compare/results.json").read_text())
    assert found["measures"][LEAD]["value"] > 0
    assert found["sources"]["new.litertlm"]
    assert folder == ["new.litertlm", "old.litertlm"]
    assert (tmp_path / "runs/compare.answers.sqlite").is_file()
    assert (tmp_path / "runs/compare/report.html").is_file()


def test_a_limit_that_is_not_kept_is_code_1(folder):
    good = run(*PAIR, *TEXTS, "--fail-below", f"{LEAD}=0")
    assert good.exit_code == 0, good.output
    bad = run(*PAIR, *TEXTS, "--fail-below", f"{LEAD}=5")
    assert bad.exit_code == 1
    assert f"Failed: {LEAD} is 0." in bad.stderr and "below 5" in bad.stderr


def test_an_earlier_report_is_a_baseline(folder):
    assert run(*PAIR, *TEXTS).exit_code == 0
    again = ("--output", "again", "--baseline", "runs/compare/results.json")
    same = run(*PAIR, *TEXTS, *again)
    assert same.exit_code == 0, same.output
    MODELS["new"], kept = 0.0, MODELS["new"]
    try:
        worse = run(*PAIR, *TEXTS, *again)
    finally:
        MODELS["new"] = kept
    assert worse.exit_code == 1 and "bits_per_byte@new" in worse.stderr


def test_a_judge_adds_its_section(folder, tmp_path):
    class Judge(Fake):
        def generate(self, prompts):
            return ["[[A]]" for _ in prompts]

    def open_judge(source, name=None, **options):
        return Judge(source)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("keras_llm.compare.asking.open_subject", open_judge)
        answer = run(*PAIR, *PROMPTS, "--judge", "other.litertlm", "--limit", 5)
    assert answer.exit_code == 0, answer.output
    assert "No preference shown between new.litertlm and old" in answer.stdout
    page = (tmp_path / "runs/compare/report.md").read_text()
    assert "Judged by other.litertlm" in page
    lines = (tmp_path / "runs/compare.judge.jsonl").read_text().splitlines()
    assert 0 < len(lines) <= 10
    assert "<reference>\\nyes" in lines[0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("compare", "new.litertlm", *TEXTS), "two different models"),
        (("compare", "new.litertlm", "new.litertlm"), "two different models"),
        ((*PAIR,), "something to compare models by"),
        ((*PAIR, "nowhere", *TEXTS), "nowhere, which does not exist"),
        ((*PAIR, "--tasks", "hellaswga"), "hellaswag"),
        ((*PAIR, "--tasks", "copa", "--data", "texts"), "copa"),
        ((*PAIR, *TEXTS, "--limit", "-1"), "limit"),
        ((*PAIR, "--texts", "nothing"), "nothing"),
        ((*PAIR, "--corpus", "texts"), "heldout"),
        ((*PAIR, "--prompts", "nothing"), "nothing"),
        ((*PAIR, *PROMPTS, "--metrics", "exact"), "exact_match"),
        ((*PAIR, *TEXTS, "--judge", "new.litertlm"), "--prompts"),
        ((*PAIR, *PROMPTS, "--judge", "nowhere"), "nowhere"),
        ((*PAIR, *TEXTS, "--fail-below", "acc"), "metric=value"),
        ((*PAIR, *TEXTS, "--baseline", "nothing"), "nothing"),
        ((*PAIR, *TEXTS, "--output", "texts"), "texts, which holds other"),
    ],
)
def test_a_mistake_is_a_sentence_before_a_model_is_opened(folder, words, said):
    answer = run(*words)
    assert answer.exit_code == 2, answer.output
    assert said in answer.stderr and "Traceback" not in answer.output
    assert not folder


def test_a_reference_of_some_prompts_only_is_refused(folder, write):
    path = write(b'{"prompt": "a", "reference": "b"}\n{"prompt": "c"}\n')
    answer = run(*PAIR, "--prompts", path)
    assert answer.exit_code == 2 and "Received: 1 of 2." in answer.stderr


def test_an_unknown_limit_is_said_after_the_report(folder, tmp_path):
    answer = run(*PAIR, *TEXTS, "--fail-below", "copa/acc=0.5")
    assert answer.exit_code == 2 and "'copa/acc', which it" in answer.stderr
    assert (tmp_path / "runs/compare/report.html").is_file()


def test_its_help_does_not_wait_for_tensorflow():
    script = (
        "import sys; from keras_llm.cli import main\n"
        "try: main(['compare', '--help'])\n"
        "except SystemExit: print('tensorflow' in sys.modules)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.strip().endswith("False")
