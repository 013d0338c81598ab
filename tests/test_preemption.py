"""Signals to stop, checkpoints in the background, and damaged ones."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import tiny_run
from test_resume import kill, losses

from keras_llm.errors import InputError
from keras_llm.train import checkpoint, checkpoints, latest, read_state
from keras_llm.train.background import Background
from keras_llm.train.distribution import Distribution
from keras_llm.train.intact import checked, newest_intact, set_aside
from keras_llm.train.measure import Run
from keras_llm.train.preemption import Signals, StopOnSignal

FILES = ("model.safetensors", "optimizer.safetensors", "training.safetensors")


@pytest.fixture
def interruptible():
    """Ctrl-C as in a terminal: shells ignore it for their background jobs."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return tiny_run.write_rows(tmp_path_factory.mktemp("rows"))


@pytest.fixture(scope="module")
def whole(rows, tmp_path_factory):
    """An uninterrupted run that writes in the background."""
    out = tmp_path_factory.mktemp("whole")
    tiny_run.train(rows, out, ema=0.9)
    return out


class At(keras.callbacks.Callback):
    """Calls something at the begin of a step of this process."""

    def __init__(self, step, work):
        super().__init__()
        self.left, self.work = step, work

    def on_train_batch_begin(self, batch, logs=None):
        self.left -= 1
        if not self.left:
            self.work()


def assert_same(out: Path, whole: Path) -> None:
    """Equal histories and equal bytes in the last checkpoint."""
    assert losses(out) == losses(whole)
    ours, theirs = (latest(f / "checkpoints") for f in (out, whole))
    assert ours.name == theirs.name
    for name in FILES:
        assert (ours / name).read_bytes() == (theirs / name).read_bytes()


def raising(number):
    return lambda: signal.raise_signal(number)


# === Signals ===


def test_sigterm_saves_the_step_and_exits_0(rows, whole, tmp_path, capsys):
    """First within a window of two steps, then at the end of one."""
    before = signal.getsignal(signal.SIGTERM)
    for of_process, step in ((7, 7), (1, 8)):
        with pytest.raises(SystemExit) as stopped:
            stop = At(of_process, raising(signal.SIGTERM))
            tiny_run.train(rows, tmp_path, ema=0.9, callbacks=[stop])
        assert stopped.value.code == 0
        said = capsys.readouterr().err
        assert f"SIGTERM after step {step} of 12" in said
        assert "Run the same command again" in said
        assert signal.getsignal(signal.SIGTERM) is before
        state = read_state(latest(tmp_path / "checkpoints"))
        assert state.step == step
        assert (state.metrics is None) == (step == 8)
    tiny_run.train(rows, tmp_path, ema=0.9)
    assert_same(tmp_path, whole)


def test_ctrl_c_saves_too(rows, tmp_path):
    with pytest.raises(KeyboardInterrupt, match="SIGINT after step 3 of 12"):
        stop = At(3, raising(signal.SIGINT))
        tiny_run.train(rows, tmp_path, callbacks=[stop])
    assert latest(tmp_path / "checkpoints").name == "step-00000003"


def test_a_second_ctrl_c_does_not_wait():
    signals = Signals()
    with signals.noted(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)


def test_without_a_folder_a_signal_is_nobody_elses(rows, interruptible):
    with pytest.raises(KeyboardInterrupt) as stopped:
        stop = At(2, raising(signal.SIGINT))
        tiny_run.train(rows, None, callbacks=[stop])
    assert not stopped.value.args


def test_another_thread_gets_no_signals():
    seen = []

    def look():
        with Signals().noted():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=look)
    before = signal.getsignal(signal.SIGTERM)
    thread.start()
    thread.join()
    assert seen == [before]


class Together(Distribution):
    """Two processes in two threads of this one."""

    workers = 2

    def __init__(self, worker, numbers, barrier):
        self.worker, self.numbers, self.barrier = worker, numbers, barrier

    def gather(self, numbers):
        self.numbers[self.worker] = list(numbers)
        self.barrier.wait(timeout=30)
        rows = list(self.numbers)
        self.barrier.wait(timeout=30)
        return rows


def test_processes_agree_on_the_step_to_stop_at():
    """One gets the signal, at any moment; both stop at the same step."""
    numbers, barrier = [[], []], threading.Barrier(2)
    stopped = [0, 0]

    def work(worker):
        signals, run = Signals(), Run(1000)
        stop = StopOnSignal(run, signals, Together(worker, numbers, barrier))
        while not stop.agreed():
            time.sleep(0.001 * (worker + 1))
            run.step += 1
            if worker and run.step == 5:
                signals.number = signal.SIGTERM
        stopped[worker] = run.step

    threads = [threading.Thread(target=work, args=(w,)) for w in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stopped[0] == stopped[1] >= 5


@pytest.mark.slow
def test_a_group_of_workers_saves_and_exits_0(rows, tmp_path):
    """SIGTERM to `launch` reaches all; the same command goes on."""
    import distributed_fit
    from test_distribution import assert_same_training

    whole, out = tmp_path / "whole", tmp_path / "out"
    tiny_run.train(rows, whole, accumulate=2)
    words = [distributed_fit.__file__, "multi_worker", rows.folder, out]
    main = (
        "import functools, sys; from keras_llm.cli.workers import Group\n"
        f"group = Group([sys.executable, *{[*map(str, words)]!r}, '0:7!'], 2,"
        " functools.partial(print, flush=True))\n"
        "sys.exit(group.run(3))"
    )
    command = [sys.executable, "-c", main]
    first = subprocess.run(command, capture_output=True, text=True)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "Run the same command again" in first.stdout
    assert "done" not in first.stdout
    steps = [read_state(p).step for p in checkpoints(out / "checkpoints")]
    assert 7 <= steps[-1] < 12
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 0 and "[1] done 1" in again.stdout
    assert_same_training(out, whole)


@pytest.mark.slow
def test_on_jax_too(rows, tmp_path):
    """In a process of its own: it ends with "equal"."""
    pytest.importorskip("jax")
    script = Path(__file__).with_name("watched_on_jax.py")
    done = subprocess.run(
        [sys.executable, script, rows.folder, tmp_path],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip().endswith("equal"), done.stderr


# === In the background ===


def test_files_are_those_of_waiting(rows, whole, tmp_path):
    tiny_run.train(rows, tmp_path, ema=0.9, save_in_background=False)
    assert_same(tmp_path, whole)
    names = [
        [path.name for path in checkpoints(out / "checkpoints")]
        for out in (tmp_path, whole)
    ]
    assert names[0] == names[1]


def test_copied_values_do_not_change():
    model = tiny_run.build()
    optimizer = keras.optimizers.SGD()
    optimizer.build(model.trainable_variables)
    values = checkpoint.values_of(model, optimizer, copy=True)
    for variable in model.trainable_variables:
        variable.assign(variable * 0.0 + 7.0)
    kept = values.arrays["model.safetensors"].values()
    assert not any(np.array_equal(a, np.full_like(a, 7.0)) for a in kept)


def test_training_goes_on_while_it_is_written(rows, tmp_path, monkeypatch):
    """Never two at once, and the last one is complete when `fit` returns."""
    write, writing, most, steps = checkpoint.write_arrays, [], [0], [0]
    during = []

    def slow(file, arrays):
        writing.append(file)
        most[0] = max(most[0], len(writing))
        first = steps[0]
        deadline = time.monotonic() + 30
        while steps[0] == first < 12 and time.monotonic() < deadline:
            time.sleep(0.001)
        during.append(steps[0] - first)
        write(file, arrays)
        writing.pop()

    class Count(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            steps[0] += 1

    monkeypatch.setattr(checkpoint, "write_arrays", slow)
    report = tiny_run.train(rows, tmp_path, callbacks=[Count()])
    assert most[0] == 1 and not writing
    assert during[0] >= 1 and during[-1] == 0
    assert read_state(report.checkpoint).step == 12


def test_an_error_in_the_background_is_told(rows, tmp_path, monkeypatch):
    failed = threading.Event()

    def full(file, arrays):
        failed.set()
        raise OSError(28, "No space left on device", str(file))

    monkeypatch.setattr(checkpoint, "write_arrays", full)
    wait = At(6, lambda: failed.wait(30))
    with pytest.raises(OSError, match="step-00000004.*make room"):
        tiny_run.train(rows, tmp_path, callbacks=[wait])
    assert not list((tmp_path / "checkpoints").iterdir())


def test_background_work_is_done_in_turn():
    background, order, go = Background(), [], threading.Event()

    def first():
        go.wait(30)
        order.append(1)

    background.start(first)
    assert background.busy
    background.check()
    go.set()
    background.start(lambda: order.append(2))
    background.wait()
    assert order == [1, 2] and not background.busy
    background.start(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        background.wait()
    background.wait()  # told once


# Moments within the second write: after each file, after the state is
# written, before and after it is renamed, and while older ones are removed.
MOMENTS = ("file2", "state", "rename", "prune")


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param("saving", marks=pytest.mark.slow),
        pytest.param("renamed", marks=pytest.mark.slow),
        *(pytest.param(name, marks=pytest.mark.long) for name in MOMENTS),
    ],
)
def test_killed_in_the_background_write(rows, tmp_path, moment):
    tiny_run.train(rows, whole := tmp_path / "whole")
    kill(rows, out := tmp_path / "out", moment)
    found = checkpoints(out / "checkpoints")
    newest = 8 if moment in ("renamed", "prune") else 4
    assert read_state(found[-1]).step == newest
    tiny_run.train(rows, out)
    assert losses(out) == losses(whole)
    for name in FILES[:2]:
        ours, theirs = (
            latest(folder / "checkpoints") / name for folder in (out, whole)
        )
        assert ours.read_bytes() == theirs.read_bytes()


# === Damaged checkpoints ===


def damage(path: Path, how: str) -> None:
    file = path / ("state.json" if how == "json" else "optimizer.safetensors")
    content = file.read_bytes()
    if how == "changed":
        middle = len(content) // 2
        flipped = bytes([content[middle] ^ 1])
        content = content[:middle] + flipped + content[middle + 1 :]
    else:
        content = content[: len(content) // 2]
    file.write_bytes(content)


@pytest.fixture
def stopped(whole, tmp_path):
    """A run with checkpoints at steps 8 and 12 that did not end."""
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    (tmp_path / "report.json").unlink()
    return tmp_path / "checkpoints"


@pytest.mark.parametrize("how", ["cut", "changed", "json"])
def test_the_one_before_a_damaged_checkpoint_is_used(stopped, how):
    damage(stopped / "step-00000012", how)
    state, damaged = newest_intact(stopped, checked)
    assert state is not None and state.step == 8
    said = r"step-00000012 \(.*cut short or changed\).*from step-00000008"
    with pytest.warns(UserWarning, match=said):
        set_aside(damaged, state.step)
    names = sorted(path.name for path in stopped.iterdir())
    assert names == ["damaged-step-00000012", "step-00000008"]


def test_an_older_damaged_one_does_not_stop_a_run(stopped):
    damage(stopped / "step-00000008", "json")
    state, damaged = newest_intact(stopped, checked)
    assert state is not None and state.step == 12
    assert [path.name for path in damaged] == ["step-00000008"]


def test_without_a_good_one_the_run_is_refused(rows, stopped):
    for path in checkpoints(stopped):
        damage(path, "cut")
    with pytest.raises(InputError, match="an intact checkpoint.*another fold"):
        tiny_run.train(rows, stopped.parent, ema=0.9)
    assert len(checkpoints(stopped)) == 2


def test_a_complete_run_whose_end_is_damaged_is_completed_again(
    rows, whole, tmp_path
):
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    damage(tmp_path / "checkpoints" / "step-00000012", "json")
    with pytest.warns(UserWarning, match="step-00000012.*from step-00000008"):
        report = tiny_run.train(rows, tmp_path, ema=0.9)
    assert report.steps == 12
    assert_same(tmp_path, whole)
    assert Path(report.checkpoint).name == "step-00000012"
