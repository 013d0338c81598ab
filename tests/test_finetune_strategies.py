"""`finetune --strategy`: the same model from two devices as from one."""

import json
import subprocess
import sys
from pathlib import Path

import distributed_tune
import pytest
import tensorflow as tf
from test_cli_corpus import run
from tuning_files import FLAVOURS, fill, tuned

from keras_llm import CausalLM
from keras_llm.errors import InputError
from keras_llm.sketch import blank_decoder
from keras_llm.train import distribution, distribution_of
from keras_llm.tune import Question, exchange, grpo

FEW = ("text", "classify", "prefer")  # an adapter, a head, a reference
OTHERS = ("chat", "tokens", "reward")  # grpo has one device


def reports(folder: Path, names: tuple[str, ...]) -> dict[str, dict]:
    """What flavours measured before and after."""
    found = {
        name: json.loads(
            (folder / "runs" / name / "tuning_report.json").read_text()
        )
        for name in names
    }
    return {
        f"{name}, {when}": report[when]
        for name, report in found.items()
        for when in ("before", "after")
    }


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(FEW, marks=pytest.mark.slow),
        pytest.param(OTHERS, marks=pytest.mark.long),
    ],
)
def test_two_devices_tune_as_one_does(names, tmp_path, monkeypatch):
    assert {*FEW, *OTHERS, "grpo"} == set(FLAVOURS)
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    ran = subprocess.run(
        [sys.executable, distributed_tune.__file__, two, *names],
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    monkeypatch.chdir(fill(one))
    for name in names:
        tuned(name)
    found = reports(two, names)
    for name, measured in reports(one, names).items():
        assert found[name] == pytest.approx(measured, abs=1e-4), name


def test_a_model_is_loaded_for_the_devices_of_its_scope(tmp_path):
    fill(tmp_path)
    with distribution("mirrored", devices=["CPU:0"]).scope():
        lm = CausalLM.load(tmp_path / "model")
    assert distribution_of(lm.model).kind == "mirrored"
    assert isinstance(lm.model._distribute_strategy, tf.distribute.Strategy)
    assert distribution_of(blank_decoder(lm.model.config)).kind == "single"


def test_a_run_may_go_on_with_other_devices(tmp_path, monkeypatch):
    monkeypatch.chdir(fill(tmp_path))
    shown = tuned("reward")
    assert tuned("reward", "--strategy", "single") == shown


def test_answers_are_drawn_on_one_device(tmp_path):
    fill(tmp_path)
    with distribution("mirrored", devices=["CPU:0"]).scope():
        lm = CausalLM.load(tmp_path / "model")
        with pytest.raises(InputError, match="one device.*mirrored"):
            grpo(lm, [Question(exchange("a"))], lambda *_: 1.0, steps=1)


@pytest.mark.parametrize("strategy", ["auto", "multi_worker"])
def test_finetune_refuses_to_be_several_processes(
    strategy, tmp_path, monkeypatch
):
    monkeypatch.chdir(fill(tmp_path))
    monkeypatch.setenv("KERAS_LLM_HOSTS", "a:1,b:1")  # that nobody answers at
    monkeypatch.setenv("JOB_COMPLETION_INDEX", "0")
    answer = run(
        *("finetune", "chat", "model", "--config", "chat.yaml"),
        *("--output", "runs/chat", "--strategy", strategy),
    )
    assert answer.exit_code == 2, answer.output
    said = " ".join(answer.stderr.split())
    assert f"{strategy} with 2 processes" in said
