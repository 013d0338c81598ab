"""A run that was killed goes on as if nothing had happened."""

import importlib
import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_run

from keras_llm.errors import InputError
from keras_llm.files import TEMPORARY
from keras_llm.train import (
    TrainConfig,
    best,
    checkpoint,
    checkpoints,
    latest,
    read_history,
    restore,
)

TIMES = ("seconds", "tokens_per_second", "mfu")


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return tiny_run.write_rows(tmp_path_factory.mktemp("rows"))


@pytest.fixture(scope="module")
def whole(rows, tmp_path_factory):
    """An uninterrupted run: its folder and its decoder's weights."""
    out = tmp_path_factory.mktemp("whole")
    model = tiny_run.build()
    tiny_run.train(rows, out, model)
    return out, model.get_weights()


def losses(out: Path) -> list[dict]:
    """The history without what depends on the clock."""
    lines = read_history(out / "metrics.jsonl")
    return [
        {key: value for key, value in line.items() if key not in TIMES}
        for line in lines
    ]


def kill(rows, out: Path, when: str) -> None:
    """Runs a process that dies by SIGKILL."""
    command = [sys.executable, tiny_run.__file__, rows.folder, out, when]
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow"}
    done = subprocess.run(command, env=environment, capture_output=True)
    assert done.returncode == -9, done.stderr.decode()


@pytest.mark.parametrize("when", ["8", "saving"])
def test_killed_run_continues_bit_for_bit(rows, whole, tmp_path, when):
    kill(rows, tmp_path, when)
    assert [p.name for p in checkpoints(tmp_path / "checkpoints")] == [
        "step-00000004"
    ]
    model = tiny_run.build()
    report = tiny_run.train(rows, tmp_path, model)
    out, weights = whole
    assert losses(tmp_path) == losses(out)
    assert report.steps == tiny_run.STEPS
    for ours, theirs in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    left = list((tmp_path / "checkpoints").glob(f"{TEMPORARY}*"))
    assert not left


def test_history_covers_every_window(whole):
    lines = losses(whole[0])
    assert [line["step"] for line in lines] == [2, 4, 6, 8, 10, 12]
    validated = [line["step"] for line in lines if "validation_loss" in line]
    assert validated == [4, 8, 12]
    samples = read_history(whole[0] / "samples.jsonl")
    assert [line["step"] for line in samples] == [4, 8, 12]


def test_seeds_of_dropout_are_restored(whole):
    path = latest(whole[0] / "checkpoints")
    model = tiny_run.build(seed=99)
    trainer = _optimizer_of(model)
    state = restore(path, model, trainer)
    seeds, _ = checkpoint._split(model.variables)
    assert seeds and [s.numpy().tolist() for s in seeds] == state.seeds
    assert state.step == int(trainer.iterations.numpy()) == tiny_run.STEPS


def test_keeps_the_newest_and_the_best(rows, tmp_path):
    folder, model = tmp_path, tiny_run.build()
    optimizer = _optimizer_of(model)
    losses = {1: 3.0, 2: 1.0, 3: 2.0, 4: 5.0, 5: None}
    for step, loss in losses.items():
        checkpoint.save(
            folder, model, optimizer, step=step, validation_loss=loss
        )
        checkpoint.prune(folder, keep=2)
    names = [int(path.name[-1]) for path in checkpoints(folder)]
    assert names == [2, 4, 5]
    assert best(folder) == folder / "step-00000002"
    assert latest(folder) == folder / "step-00000005"


def test_full_disk_leaves_the_previous_checkpoint(rows, tmp_path):
    model = tiny_run.build()
    optimizer = _optimizer_of(model)
    path = checkpoint.save(tmp_path, model, optimizer, step=1)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, limits[1]))
    try:
        with pytest.raises(OSError, match="step-00000002.*intact"):
            checkpoint.save(tmp_path, model, optimizer, step=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert os.listdir(tmp_path) == [path.name]
    assert restore(path, model, optimizer).step == 1


@pytest.mark.parametrize("name", ["model.safetensors", "state.json"])
@pytest.mark.parametrize("damage", ["cut", "changed", "removed"])
def test_damaged_checkpoint_is_named(rows, tmp_path, name, damage):
    model = tiny_run.build()
    optimizer = _optimizer_of(model)
    for step in (1, 2):
        path = checkpoint.save(tmp_path, model, optimizer, step=step)
    content = (path / name).read_bytes()
    if damage == "removed":
        (path / name).unlink()
    elif damage == "cut":
        (path / name).write_bytes(content[:-9])
    else:
        (path / name).write_bytes(b"\xff" * 9 + content[9:])
    with pytest.raises(
        InputError,
        match=f"{name} is missing, cut short or changed. "
        "step-00000001 is intact",
    ):
        restore(path, model, optimizer)


def test_other_config_is_refused(rows, tmp_path):
    model = tiny_run.build()
    path = checkpoint.save(
        tmp_path,
        model,
        _optimizer_of(model),
        step=1,
        config=model.config.to_dict(),
    )
    other = tiny_run.build(vocabulary_size=60)
    with pytest.raises(
        InputError, match=r"vocabulary_size=50 \(the model has 60\)"
    ):
        restore(path, other)


def test_other_shape_and_missing_variables_are_refused(rows, tmp_path):
    model = tiny_run.build()
    path = checkpoint.save(tmp_path, model, _optimizer_of(model), step=1)
    with pytest.raises(InputError, match="with shape"):
        restore(path, tiny_run.build(vocabulary_size=60))
    with pytest.raises(InputError, match="9 missing .block_1/"):
        restore(path, tiny_run.build(norm="rms", num_layers=2))


def test_other_tokenizer_is_refused(rows, tmp_path):
    model = tiny_run.build()
    path = checkpoint.save(
        tmp_path, model, _optimizer_of(model), step=1, tokenizer="a" * 64
    )
    with pytest.raises(InputError, match="fingerprint bbbb"):
        restore(path, model, tokenizer="b" * 64)


def test_changed_settings_are_refused_by_name(rows, whole):
    for name, value in (("learning_rate", 0.5), ("seed", 9), ("steps", 20)):
        with pytest.raises(InputError, match=f"{name} was .* and is {value}"):
            tiny_run.train(rows, whole[0], **{name: value})
    with pytest.raises(InputError, match="resume=False"):
        tiny_run.train(rows, whole[0], resume=False)


def test_another_model_is_refused_before_the_first_checkpoint(
    rows, whole, tmp_path
):
    (tmp_path / "train.json").write_bytes(
        (whole[0] / "train.json").read_bytes()
    )
    with pytest.raises(InputError, match="hidden_dim was 16 and is 32"):
        tiny_run.train(rows, tmp_path, tiny_run.build(hidden_dim=32))


def test_a_finished_run_may_be_moved(rows, whole, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(whole[0], moved)
    report = tiny_run.train(rows, moved)
    assert Path(report.checkpoint) == latest(moved / "checkpoints")
    assert Path(report.history) == moved / "metrics.jsonl"


def test_second_process_in_the_folder_is_refused(rows, tmp_path):
    from keras_llm.train.folder import only_process

    with only_process(tmp_path):
        with pytest.raises(InputError, match="another process trains there"):
            tiny_run.train(rows, tmp_path)


def test_other_rows_are_refused(whole, tmp_path):
    other = tiny_run.write_rows(tmp_path, count=30)
    with pytest.raises(InputError, match="rows have another content"):
        tiny_run.train(other, whole[0])


def test_complete_run_returns_its_report_and_weights(rows, whole):
    model = tiny_run.build(seed=99)
    report = tiny_run.train(rows, whole[0], model, keep=5)
    saved = json.loads((whole[0] / "report.json").read_text())
    assert report.to_dict() == saved
    for ours, theirs in zip(model.get_weights(), whole[1], strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_plan_of_a_minutes_run_is_kept(rows, tmp_path, monkeypatch):
    """A resumed run takes the number of steps that was decided."""
    module = importlib.import_module("keras_llm.train.training")
    settings = {**tiny_run.SETTINGS, "steps": None, "minutes": 5.0}
    monkeypatch.setattr(module, "plan_steps", lambda *args: 6)
    first = tiny_run.train(rows, tmp_path, **settings)
    assert (first.steps, first.planned_steps) == (6, 6)
    monkeypatch.undo()
    (tmp_path / "report.json").unlink()
    again = tiny_run.train(rows, tmp_path, **settings)
    assert again.planned_steps == 6
    saved = json.loads((tmp_path / "train.json").read_text())
    assert TrainConfig.from_dict(saved["settings"]).minutes == 5.0


def _optimizer_of(model):
    from keras_llm.train import AdamW, WarmupCosine

    optimizer = AdamW(WarmupCosine(1e-3, total_steps=10))
    optimizer.build(model.trainable_variables)
    return optimizer
