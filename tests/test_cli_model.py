"""train, evaluate, generate and info on a small corpus, as a person would."""

import json
import shutil

import pytest
from test_cli_corpus import TEXTS, next_commands, run

from keras_llm.cli import app  # noqa: F401  (registers the verbs)
from keras_llm.tokenizers import HostTokenizer


def must(*words) -> str:
    """Runs a verb that must succeed; returns what it printed."""
    answer = run(*words)
    assert answer.exit_code == 0, answer.output
    return answer.stdout


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder in which every verb up to train has run."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "notes").mkdir()
    for number, text in enumerate(TEXTS):
        (folder / "notes" / f"{number}.txt").write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        must("curate", "notes", "--heldout", "0.3")
        must("tokenize", "--vocabulary-size", 280)
        must("pack", "--context-length", 16)
        must(*TRAIN)
    return folder


FILE = "runs/rows/manifest.json"
TRAIN = ("train", "--steps", 10, "--batch-size", 4)


@pytest.fixture
def folder(trained, monkeypatch):
    monkeypatch.chdir(trained)
    return trained


def test_a_finished_run_is_not_done_again(folder):
    before = (folder / "runs/model/metrics.jsonl").read_text()
    shown = must(*TRAIN)
    assert "tokens seen" in shown
    assert (folder / "runs/model/metrics.jsonl").read_text() == before
    assert next_commands(shown)[0] == ["evaluate", "runs/model"]


def test_rarer_options_reach_the_run(folder):
    must(
        *("train", "--steps", 4, "--batch-size", 4, "--output", "other"),
        *("--optimizer", "muon", "--schedule", "wsd", "--ema", 0.9),
        *("--base-width", 32, "--clip-norm", 0, "--guard", "skip"),
        *("--accumulate", 2, "--ramp-steps", 2, "--ramp-from", 2),
    )
    saved = json.loads((folder / "other/train.json").read_text())["settings"]
    assert saved["parametrization"] == "mup" and saved["clip_norm"] is None
    assert (saved["optimizer"], saved["schedule"]) == ("muon", "wsd")


def test_evaluate_says_bits_and_yardsticks(folder):
    shown = must("evaluate", "--output", "report")
    found = json.loads((folder / "report/results.json").read_text())
    for name in ("bits", "unigram_bits", "xz_bits"):
        assert f"heldout/{name}_per_byte" in shown
    measure = found["measures"]["heldout/bits_per_byte"]
    assert 0 < measure["value"] < 16


def test_generate_prints_the_prompt_and_goes_on(folder):
    one = must("generate", "A rose", "--max-new-tokens", 5)
    assert one.startswith("A rose")
    settings = ("--temperature", 1.0, "--seed", 3, "--max-new-tokens", 8)
    assert must("generate", "A", *settings) == must("generate", "A", *settings)


def test_info_shows_the_config(folder):
    shown = must("info")
    assert "context_length" in shown and "<|endoftext|>" in shown


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("train",), "--steps or --minutes"),
        (("train", "--steps", 10, "--size", "tyni"), "tiny"),
        (("train", "nowhere", "--steps", 10), "nowhere"),
        (("train", "--steps", 20), "steps was 10 and is 20"),
        (("evaluate", "nowhere"), "Expected a run, a model folder"),
        (("evaluate", "--corpus", "nowhere"), "nowhere"),
        (("generate", "A", "--temperature", -1), "Received: -1"),
        (("generate", "A rose " * 20), "context of 16 tokens"),
        (("generate", "A", "--top-p", 2), "top_p"),
        (("train", "--steps", "9", "--seed", "-1"), "seed to be at least 0"),
        (("train", "--steps", "9", "--output", FILE), "which is a file"),
        (("quickstart", "--output", FILE), "which is a file"),
        (("quickstart", "--output", "q", "--minutes", "0"), "minutes to be"),
        (("export", "--format", "onnx"), "one of saved_model"),
        (("export", "--quantization", "int8"), "--held-out"),
        (("export", "--quantization", "fp16"), "bfloat16"),
        (("info", "nowhere"), "Expected a model folder"),
        (("serve", "nowhere"), "nowhere"),
    ],
)
def test_a_mistake_is_a_sentence(folder, words, said):
    answer = run(*words)
    assert answer.exit_code == 2, answer.output
    assert said in answer.stderr
    assert "Traceback" not in answer.output


def test_another_vocabulary_is_refused(folder):
    HostTokenizer.train(TEXTS[:2], 270, progress=False).save("other")
    answer = run(
        *("train", "--tokenizer", "other", "--steps", 10, "--output", "x")
    )
    assert answer.exit_code == 2
    assert "tokenizer" in answer.stderr
    shutil.copytree("runs/model/lm", "swapped")
    shutil.copy("other/tokenizer.json", "swapped/tokenizer.json")
    answer = run("generate", "A", "--model", "swapped")
    assert answer.exit_code == 2
    assert "another vocabulary" in answer.stderr


def test_an_unfinished_run_says_how_to_finish(folder, tmp_path):
    (tmp_path / "train.json").write_text("{}")
    answer = run("evaluate", tmp_path)
    assert answer.exit_code == 2
    assert "keras-llm train" in answer.stderr


def test_a_quickstart_that_made_nothing_takes_other_options(folder, tmp_path):
    for data in ("nowhere", "elsewhere"):
        answer = run("quickstart", "--output", tmp_path / "q", "--data", data)
        assert answer.exit_code == 2
        assert f"{data}, which does not exist" in answer.stderr
