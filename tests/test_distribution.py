"""The same losses and weights on one device, two devices, two processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import distributed_fit
import distributed_run
import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_run

from keras_llm.cli.workers import Group
from keras_llm.data import row_dataset
from keras_llm.errors import InputError
from keras_llm.train import (
    Distribution,
    TokenTrainer,
    TrainConfig,
    checkpoints,
    distribution,
    distribution_of,
    read_history,
)
from keras_llm.train.source import Source
from keras_llm.train.strategy_tensorflow import check_keras

QUICK = {"mirrored": ["much", "much_xla"], "multi_worker": ["much"]}
# What no other case has a part of; the others are run by hand.
SLOW = ["partial", "experts", "muon", "averages_and_guard", "rows"]
LONG = [name for name in distributed_run.CASES if name not in ("much", *SLOW)]
LIMIT = 1e-6  # float32; the order of sums is another
TIMES = ("seconds", "tokens_per_second", "mfu")


def start(script, kind: str, *words) -> subprocess.Popen:
    """Runs a script of ours with one process, or with two under `Group`."""
    command = [sys.executable, script.__file__, kind, *map(str, words)]
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow"}
    if kind == "multi_worker":
        group = f"import sys, {Group.__module__} as w; sys.exit(w.Group("
        command = [sys.executable, "-c", f"{group}{command!r}, 2).run())"]
    return subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen) -> None:
    """Waits for a good end."""
    output, _ = process.communicate(timeout=1500)
    assert process.returncode == 0, output


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """Results of the quick cases by kind; all computed at once."""
    return results(tmp_path_factory.mktemp("quick"), QUICK)


def results(folder: Path, names: dict[str, list[str]]) -> dict:
    started = [
        start(distributed_run, kind, folder / kind, *chosen)
        for kind, chosen in names.items()
    ]
    found = {
        ("single", name): distributed_run.run(
            Distribution(), distributed_run.CASES[name]
        )
        for name in names["mirrored"]
    }
    for process in started:
        finish(process)
    for kind, chosen in names.items():
        for name in chosen:
            arrays = np.load(folder / kind / f"{name}.npz")
            logs = (folder / kind / f"{name}.json").read_text()
            found[kind, name] = [*arrays.values()], json.loads(logs)
    return found


def assert_equal_runs(one, other):
    (weights, logs), (more_weights, more_logs) = one, other
    for ours, theirs in zip(weights, more_weights, strict=True):
        assert np.abs(ours - theirs).max() <= LIMIT
    assert logs.pop("scores") == pytest.approx(
        more_logs.pop("scores"), rel=1e-5
    )
    assert logs.keys() == more_logs.keys()
    for name, values in logs.items():
        np.testing.assert_allclose(values, more_logs[name], rtol=1e-5)
    np.testing.assert_allclose(logs["loss"], more_logs["loss"], atol=LIMIT)


@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, name) for kind, names in QUICK.items() for name in names],
)
def test_two_devices_equal_one(quick, kind, name):
    weights, logs = quick["single", name]
    assert_equal_runs((weights, dict(logs)), quick[kind, name])


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(SLOW, marks=pytest.mark.slow),
        pytest.param(LONG, marks=pytest.mark.long),
    ],
)
def test_each_case_alone_equals_one_device(names, tmp_path):
    found = results(tmp_path, dict.fromkeys(QUICK, names))
    for name in names:
        for kind in QUICK:
            weights, logs = found["single", name]
            assert_equal_runs((weights, dict(logs)), found[kind, name])


# === Whole runs: checkpoints and resuming ===


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return tiny_run.write_rows(tmp_path_factory.mktemp("rows"))


class Stop(keras.callbacks.Callback):
    """Ends a run after its first checkpoint, as an error would."""

    def on_epoch_end(self, epoch, logs=None):
        if (logs or {})["step"] == 6:
            raise KeyboardInterrupt


def run(rows, out, **changes):
    """One device; as `distributed_fit`."""
    model = tiny_run.build()
    tiny_run.train(rows, out, model, accumulate=2, **changes)


def history(out: Path) -> list[dict]:
    return [
        {key: value for key, value in line.items() if key not in TIMES}
        for line in read_history(out / "metrics.jsonl")
    ]


def assert_same_training(out: Path, whole: Path) -> None:
    from safetensors.numpy import load_file

    for ours, theirs in zip(history(out), history(whole), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5)
        assert ours["loss"] == pytest.approx(theirs["loss"], abs=LIMIT)
    last = f"checkpoints/step-{tiny_run.STEPS:08d}"
    for name in ("model", "optimizer"):
        one, other = (
            load_file(folder / last / f"{name}.safetensors")
            for folder in (out, whole)
        )
        for key, values in one.items():
            assert np.abs(values - other[key]).max() <= LIMIT, key
    seeds = [
        json.loads((folder / last / "state.json").read_text())["seeds"]
        for folder in (out, whole)
    ]
    assert seeds[0] == seeds[1]


def test_checkpoints_go_from_one_device_to_two_and_back(rows, tmp_path):
    whole, up, down = (tmp_path / name for name in ("whole", "up", "down"))
    killed = start(distributed_fit, "mirrored", rows.folder, down, "0:7")
    run(rows, whole)
    with pytest.raises(KeyboardInterrupt):
        run(rows, up, callbacks=[Stop()])
    assert [p.name for p in checkpoints(up / "checkpoints")] == [
        "step-00000004"
    ]
    finish(start(distributed_fit, "mirrored", rows.folder, up))
    assert_same_training(up, whole)
    killed.communicate(timeout=1500)
    assert killed.returncode == -9
    run(rows, down)
    assert_same_training(down, whole)


# === What is refused, and the parts ===


def test_parts_of_batches_are_the_batches(rows):
    def take(part, parts):
        dataset = row_dataset(
            *(rows, 5), seed=3, epochs=1, part=part, parts=parts
        )
        return [targets.numpy() for _, targets, _ in dataset]

    whole = take(0, 1)
    for parts in (2, 3, 5, 7):
        cut = [take(part, parts) for part in range(parts)]
        for step, batch in enumerate(whole):
            again = np.concatenate([part[step] for part in cut])
            np.testing.assert_array_equal(again[:5], batch)
            assert not again[5:].any()
    with pytest.raises(InputError, match="part=2, parts=2"):
        take(2, 2)


def test_each_row_once_an_epoch_while_workers_come_and_go(rows):
    """Two workers, then three, then one: as if it had been one."""
    steps, seen, start = len(rows), [], 0  # five epochs of batches of 5
    for parts, until in ((2, 7), (3, 20), (1, steps)):
        cut = [
            row_dataset(rows, 5, 3, start, part=part, parts=parts)
            for part in range(parts)
        ]
        for batch in tf.data.Dataset.zip(tuple(cut)).take(until - start):
            seen += [np.concatenate([p[1] for p in batch])[:5]]
        start = until
    seen = np.concatenate(seen).reshape(5, len(rows), -1)
    expected = np.sort(rows[np.arange(len(rows))]["tokens"][:, 1:], 0)
    for epoch in seen:
        np.testing.assert_array_equal(np.sort(epoch, 0), expected)


def test_parts_of_ones_own_dataset_without_weights():
    targets = np.arange(1, 21).reshape(5, 4)
    data = tf.data.Dataset.from_tensor_slices((targets, targets)).batch(3)
    source = Source(data, 3, 4, None, None)
    cut = [list(source.once(part, 2)) for part in (0, 1)]
    assert [int(tf.reduce_sum(w)) for *_, w in cut[0]] == [8, 4]
    assert [int(tf.reduce_sum(w)) for *_, w in cut[1]] == [4, 4]
    seen = [t.numpy()[w.numpy() > 0] for part in cut for _, t, w in part]
    assert sorted(np.concatenate(seen)) == list(range(1, 21))


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("tpu", "KERAS_BACKEND=jax"),
        ("parameter_server", "does not train with parameter servers"),
        ("mirored", "'mirrored'"),
        ("mirrored", "Received: 0. Use"),
        ("multi_worker", "none of them names several"),
    ],
)
def test_what_does_not_work_is_a_sentence(kind, said, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(InputError, match=said):
        distribution(kind)


def test_devices_that_are_not_there_are_refused():
    with pytest.raises(InputError, match="some of the devices CPU:0"):
        distribution("mirrored", devices=["CPU:0", "GPU:7"])
    with pytest.raises(InputError, match='"mirrored" only'):
        distribution("single", devices=["CPU:0"])


def test_one_machine_without_gpus_is_single(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert distribution("auto").kind == "single"


def test_keras_distribution_is_refused_because_it_does_nothing():
    keras.distribution.set_distribution(
        keras.distribution.DataParallel(devices=["cpu:0"])
    )
    try:
        with pytest.raises(InputError, match="does not say so"):
            distribution_of(keras.Sequential())
        with pytest.raises(InputError, match="set_distribution"):
            TokenTrainer(tiny_run.build())
    finally:
        keras.distribution.set_distribution(None)


def test_other_strategies_are_refused():
    with tf.distribute.OneDeviceStrategy("CPU:0").scope():
        model = tiny_run.build()
        with pytest.raises(InputError, match="OneDeviceStrategy"):
            TokenTrainer(model)


def test_a_model_of_another_scope_is_refused():
    model = tiny_run.build()
    one = distribution("mirrored", devices=["CPU:0"])
    with one.scope(), pytest.raises(InputError, match="in the same scope"):
        TokenTrainer(model)
    with one.scope():
        inside = tiny_run.build()
    with pytest.raises(InputError, match="in the same scope"):
        TokenTrainer(inside)


def test_a_setting_that_the_model_is_not_built_for_is_refused(rows):
    assert TrainConfig(steps=1).strategy == "auto"
    with pytest.raises(InputError, match=r'distribution\("mirrored"\)'):
        tiny_run.train(rows, None, strategy="mirrored")
    with pytest.raises(InputError, match="strategy"):
        TrainConfig(steps=1, strategy="tpu")


def test_processes_at_different_steps_are_refused():
    class Two(Distribution):
        def gather(self, numbers):
            return [list(numbers), [4.0]]

    with pytest.raises(InputError, match=r"steps \[8, 4\].*shared disk"):
        Two().require_same(8)
    Two().require_same(4)
    assert Two().any(False)


@pytest.mark.parametrize("version", ["3.14.0", "3.16.0", "4.3.15", "3.150.0"])
def test_untested_versions_of_keras_are_refused(version):
    with pytest.raises(InputError, match=version):
        check_keras(version)


def test_single_batches_are_refused_under_a_strategy():
    with distribution("mirrored", devices=["CPU:0"]).scope():
        trainer = TokenTrainer(tiny_run.build())
        trainer.compile("adam")
    tokens = np.ones((2, 8), "int32")
    with pytest.raises(InputError, match="Leave out train_on_batch"):
        trainer.train_on_batch({"tokens": tokens}, tokens)
