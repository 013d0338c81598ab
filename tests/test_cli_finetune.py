"""keras-llm finetune on tiny models and files, as a person would run it."""

import json
import math
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from commands import check_verb
from sources import ROOT
from test_cli_corpus import next_commands, run
from test_cli_model import must
from test_docs import blocks
from tuning_files import FLAVOURS, MODELS, fill, given, tuned

from keras_llm import CausalLM, adapters
from keras_llm.cli import finetune_run
from keras_llm.train import read_history
from keras_llm.tune import TuneReport, Tuning
from keras_llm.zoo import recipes


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return fill(tmp_path_factory.mktemp("work"))


@pytest.fixture
def here(work, monkeypatch):
    monkeypatch.chdir(work)
    return work


@pytest.mark.parametrize("name", FLAVOURS)
def test_every_flavour_runs_from_yaml(here, name, monkeypatch):
    shown = tuned(name)
    out = Path("runs") / name
    told = Tuning.load(out / "tuning.json")
    report = TuneReport.load(out / "tuning_report.json")
    assert told.kind == report.kind == name
    assert report.train["steps"] == 2 and report.after
    for card in {out / "README.md", Path(report.model).parent / "README.md"}:
        text = card.read_text()
        assert told.tokenizer in text and "## Environment" in text
        assert told.data["train"]["fingerprint"] in text
    folder, kind = MODELS.get(name, ("lm", CausalLM))
    assert kind.load(out / folder) and report.model == str(out / folder)
    saved = json.loads((out / "finetune.json").read_text())
    assert saved["files"] and saved["options"]["steps"] == 2
    for found in next_commands(shown):
        check_verb(found)
    assert "tuned for" in must("info", out)
    # Told the same again, it answers at once and without TensorFlow.
    monkeypatch.setattr(finetune_run, "start_tensorflow", lambda: 1 / 0)
    assert tuned(name) == shown


def test_an_adapter_is_written_alone_too(here):
    tuned("prefer")
    lm = CausalLM.load("model")
    adapters.load_adapter(lm.model, "runs/prefer/adapter")
    assert adapters.lora_of(lm.model, "default").rank == 2
    merged = CausalLM.load("runs/prefer/merged")
    assert not adapters.adapter_names(merged.model)
    for text in ("LoRA of rank 2 on 2 layers", "tuned from"):
        assert text in must("info", "runs/prefer")


def test_chat_prints_held_out_answers(here):
    assert len(re.findall(r"(?m)^-> ", tuned("chat"))) >= 1


@pytest.mark.parametrize("name", FLAVOURS)
def test_flags_say_the_same_as_yaml(here, name, monkeypatch):
    words = []
    for key, value in FLAVOURS[name].items():
        words.append(f"--{key.replace('_', '-')}")
        if isinstance(value, list):
            value = value[0] if key == "data" else ",".join(value)
        words += [] if value is True else [value]
    flags = given(monkeypatch, name, "model", *words).to_dict()
    file = given(monkeypatch, name, "model", "--config", f"{name}.yaml")
    assert flags == file.to_dict() | {"config": None}


def test_flags_win_over_the_file(here, monkeypatch):
    Path("mine.yaml").write_text("epochs: 2\nseed: 5\nlora-alpha: 3\nlora: 4")
    words = ("chat", "model", "--config", "mine.yaml", "--data", "chats.jsonl")
    found = given(monkeypatch, *words, "--seed", 7, "--minutes", 1)
    assert (found.seed, found.epochs, found.minutes) == (7, None, 1.0)
    assert found.adapter()["alpha"] == 3.0
    assert given(monkeypatch, *words).epochs == 2.0


@pytest.mark.parametrize("name", recipes.names())
def test_a_recipe_is_understood(here, name, monkeypatch):
    first = recipes.path(name).read_text().splitlines()[0]
    words = shlex.split(first.removeprefix("# keras-llm "))
    assert words[-2:] == ["--config", name]
    check_verb(words)
    found = given(monkeypatch, *words[1:]).to_dict()
    values = yaml.safe_load(recipes.path(name).read_text())
    assert {key: found[key] for key in values} == values


def test_a_stopped_run_goes_on(here, monkeypatch):
    words = ("finetune", "text", "model", "--data", "notes.txt")
    words += ("--steps", 4, "--output", "runs/stopped")
    with monkeypatch.context() as patch:

        def stop(*_, **__):
            raise KeyboardInterrupt

        patch.setattr("keras_llm.tune.run.finish", stop)
        answer = run(*words)
    assert answer.exit_code == 130 and "same command again" in answer.stderr
    history = Path("runs/stopped/metrics.jsonl").read_text()
    assert "bits per byte" in must(*words)
    assert Path("runs/stopped/metrics.jsonl").read_text() == history


def test_another_run_in_the_folder_is_refused_by_name(here):
    tuned("text")
    for words, says in (
        (("--seed", 3), "--seed was 0 and is 3"),
        (("--train", "all", "--lora", 4), "--lora was 2 and is 4"),
    ):
        answer = run(
            *("finetune", "text", "model", "--config", "text.yaml"),
            *("--steps", 2, "--output", "runs/text", *words),
        )
        assert answer.exit_code == 2 and says in answer.stderr
    answer = run(
        *("finetune", "chat", "model", "--data", "chats.jsonl"),
        *("--output", "runs/text"),
    )
    assert "a run of `finetune text`" in answer.stderr


def test_other_data_in_the_folder_is_refused(here):
    words = ("finetune", "text", "model", "--data", "more.txt", "--steps", 1)
    words += ("--output", "runs/more")
    Path("more.txt").write_text("a rose\n" * 40)
    must(*words)
    Path("more.txt").write_text("a violet\n" * 40)
    answer = run(*words)
    assert answer.exit_code == 2
    assert "more.txt has another content" in answer.stderr


def test_an_adapter_goes_on_or_gets_a_successor(here):
    """Either way preferences begin at the model as it is: loss log(2)."""
    words = ("--lora-targets", "all-linear", "--learning-rate", 0.1)
    must(
        *("finetune", "chat", "model", "--data", "chats.jsonl", "--lora", 2),
        *("--steps", 8, "--samples", 0, "--output", "runs/first", *words),
    )
    for name, more in (("on", ()), ("new", ("--lora", 4))):
        out = Path("runs") / name
        answer = run(
            *("finetune", "prefer", "runs/first", "--data", "pairs.jsonl"),
            *("--steps", 1, "--precision", "float32", "--output", out, *more),
        )
        assert answer.exit_code == 0, answer.output
        assert ("is merged" in answer.stderr) == bool(more)
        [line] = read_history(out / "metrics.jsonl")
        assert line["loss"] == pytest.approx(math.log(2), abs=1e-5)
        lora = adapters.lora_of(CausalLM.load(out / "lm").model, "default")
        assert lora.rank == (4 if more else 2)


def test_a_teacher_teaches_by_logits_and_by_answers(here):
    words = ("finetune", "chat", "model", "--data", "chats.jsonl")
    words += ("--teacher", "model", "--steps", 1, "--samples", 0)
    shown = must(*words, "--output", "runs/logits")
    assert "divergence" in shown
    out = Path("runs/answers")
    must(*words, "--distill", "answers", "--too-long", "cut", "--output", out)
    [file] = out.glob("teacher-*.jsonl")
    first = json.loads(file.read_text().splitlines()[0])
    assert [m["role"] for m in first["messages"]] == ["user", "assistant"]


@pytest.mark.slow
def test_the_python_of_the_page_runs(tmp_path):
    page = (ROOT / "docs" / "finetune.md").read_text(encoding="utf-8")
    [code] = blocks(page, "python")
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert (tmp_path / "runs/tuned/lm").is_dir()
