"""Executors: order, refusals, full disks, processes that die, none left."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import executor_tasks as tasks
import pytest

from keras_llm.errors import InputError
from keras_llm.executors import Inline, attempts, open_executor

ENGINES = [
    ("inline", None),
    ("local", 2),
    pytest.param("dask", 2, marks=pytest.mark.slow),
]
# Children of a shell's background job ignore Ctrl-C until told otherwise.
SCRIPT = """
import signal
import sys
signal.signal(signal.SIGINT, signal.default_int_handler)
import executor_tasks
from keras_llm.executors import open_executor
with open_executor("local", 2) as executor:
    list(executor.map(executor_tasks.sleeps, [sys.argv[1]] * 2, "sleeping"))
"""


@pytest.fixture
def local():
    with open_executor("local", 2) as executor:
        yield executor


@pytest.mark.parametrize(("engine", "workers"), ENGINES)
def test_what_all_engines_do_alike(engine, workers):
    with open_executor(engine, workers) as executor:
        squares = executor.map(tasks.square, range(20), "squares")
        assert list(squares) == [n * n for n in range(20)]
        assert list(executor.map(tasks.square, [], "nothing")) == []
        with pytest.raises(InputError) as refused:
            list(executor.map(tasks.only_even, [0, 2, 3, 4, 5], "numbers"))
        assert "2 that it refused" in str(refused.value)
        assert "Received: 3." in str(refused.value)
        assert "Received: 5." in str(refused.value)
        with pytest.raises(OSError, match="No space left"):
            list(executor.map(tasks.no_room, range(3), "full"))
        with pytest.raises(KeyError):
            list(executor.map(tasks.fails, range(3), "failing"))


def test_one_refusal_is_said_as_it_is():
    with pytest.raises(InputError, match="^Expected an even number"):
        list(Inline().map(tasks.only_even, [1], "one"))


def test_very_many_refusals_are_cut():
    with pytest.raises(InputError) as refused:
        list(Inline().map(tasks.only_even, range(1, 99, 2), "many"))
    assert "... and 39 more." in str(refused.value)


def test_a_disk_that_flickers_is_tried_again(tmp_path, monkeypatch):
    monkeypatch.setattr(attempts, "PAUSES", (0.01,))
    marker = [tmp_path / "marker"]
    assert list(Inline().map(tasks.flickers, marker, "trying")) == ["done"]
    missing = [tmp_path / "no" / "folder" / "marker"]
    with pytest.raises(FileNotFoundError):
        list(Inline().map(tasks.flickers, missing, "trying"))


def test_a_process_that_dies_is_replaced(local, tmp_path):
    markers = [str(tmp_path / str(number)) for number in range(3)]
    assert list(local.map(tasks.dies_once, markers, "dying")) == ["done"] * 3


def test_a_task_whose_processes_all_die_is_named(local):
    with pytest.raises(ChildProcessError) as died:
        list(local.map(tasks.dies, [7], "dying"))
    assert "Expected 7 to be done" in str(died.value)
    assert str(died.value).count("exit code 7") == 3


def test_an_error_of_a_task_comes_with_its_traceback(local):
    with pytest.raises(KeyError) as failed:
        list(local.map(tasks.fails, [3], "failing"))
    assert "executor_tasks.py" in failed.value.__notes__[0]
    with pytest.raises(RuntimeError, match="executor_tasks.Odd: 3"):
        list(local.map(tasks.fails_oddly, [3], "failing"))


def test_what_cannot_be_sent_is_said(local):
    with pytest.raises(InputError, match="top level of a module"):
        list(local.map(lambda number: number, [1], "lambda"))


def test_nothing_is_begun_after_a_full_disk(local, tmp_path):
    def done():
        return len(list(tmp_path.iterdir()))

    work = [0, *(str(tmp_path / str(number)) for number in range(50))]
    with pytest.raises(OSError, match="No space"):
        list(local.map(tasks.full_or_marked, work, "filling"))
    time.sleep(0.5)
    assert done() < 50


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_the_run(tmp_path, how):
    folder = Path(__file__).parent
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder)])},
        stderr=subprocess.DEVNULL,
    ) as run:
        wait_for(lambda: len(list(tmp_path.iterdir())) == 2)
        run.send_signal(how)
        assert run.wait(30) != 0
    workers = [int(path.name) for path in tmp_path.iterdir()]
    wait_for(lambda: not any(map(is_running, workers)))


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def is_running(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]
    except OSError:
        return False
    return state.split()[0] != "Z"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("spark",), "one of 'inline', 'local', 'dask', 'beam'"),
        (("local", 0), "workers >= 1"),
        (("inline", 2), "workers=2 for one process"),
        (("local", None, "tcp://a:1"), 'engines "dask" and "beam" only'),
        (("dask", 2, "tcp://a:1"), "workers=2 for the cluster"),
    ],
)
def test_settings_that_nobody_would_look_at(asked, said):
    with pytest.raises(InputError, match=said), open_executor(*asked):
        pass


@pytest.mark.parametrize(
    ("engine", "package"), [("dask", "distributed"), ("beam", "apache_beam")]
)
def test_a_missing_package_is_named(engine, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    said = rf"Expected {package} .*keras_llm\[{engine}\]"
    with pytest.raises(InputError, match=said), open_executor(engine):
        pass


@pytest.mark.slow
def test_a_scheduler_that_does_not_answer(monkeypatch):
    pytest.importorskip("distributed")
    import dask

    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(InputError, match="tcp://127.0.0.1:9"),
        open_executor("dask", scheduler="tcp://127.0.0.1:9"),
    ):
        pass
