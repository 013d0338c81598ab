"""Programs that a model wrote: run, judged, and kept from doing harm."""

import itertools
import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest

from keras_llm import InputError
from keras_llm.evaluate import evaluate_tasks, pass_at_k, run_programs
from keras_llm.evaluate.harness import Task, boxed, load_task, sandbox
from keras_llm.evaluate.harness.scoring import METRICS, Answer

walled = pytest.mark.skipif(
    not boxed.walled(), reason="system calls are refused on Linux only"
)
DOC = {"prompt": "def double(n):\n"}
TESTS = "assert double(2) == 4\nassert double(0) == 0"


def end_of(source: str, seconds: int = 3) -> str:
    (end,) = run_programs([source], allow_code=True, seconds=seconds)
    return end


def test_right_and_wrong_programs_in_their_order():
    right, wrong = "    return 2 * n\n", "    return n\n"
    texts = [f"{DOC['prompt']}{body}{TESTS}" for body in (right, wrong, right)]
    ends = run_programs(texts, allow_code=True)
    assert ends == ["passed", "AssertionError", "passed"]


@pytest.mark.parametrize(
    ("source", "end"),
    [
        ("def f(:", "SyntaxError: invalid syntax (<program>, line 1)"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import sys\nsys.exit(0)\nassert False", "SystemExit: 0"),
        ("import os\nos._exit(0)\nassert False", "ended early"),
        ("import ctypes\nctypes.string_at(0)", "ended early"),
        ("input()", "EOFError: EOF when reading a line"),
        ("x = [0] * 10**10", "MemoryError"),
        ("x = []\nwhile True:\n x.append('a' * 10**7)", "MemoryError"),
        ("import os\nassert 'HOME' not in os.environ", "passed"),
        ("import numpy", "ModuleNotFoundError: No module named 'numpy'"),
        ("print('passed')\nassert False", "AssertionError"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise ValueError('x' * 10**6)", f"ValueError: {'x' * 188}"),
    ],
    ids=lambda text: text[:20],
)
def test_how_programs_end(source, end):
    assert end_of(source) == end


FORGED = """import os
for number in range(3, 30):
    try:
        os.write(number, b"token passed")
    except OSError:
        pass
os._exit(0)"""


def test_a_forged_answer_is_none():
    assert end_of(FORGED) == "ended early"


def test_what_a_program_leaves_to_its_end_is_not_run():
    began = time.monotonic()
    later = "import atexit, time\natexit.register(time.sleep, 100)"
    assert end_of(later, seconds=4) == "passed"
    assert time.monotonic() - began < 19  # 20 by the clock are allowed


def test_an_endless_loop_is_killed():
    began = time.monotonic()
    assert end_of("while True: pass", seconds=1) == "timed out"
    assert time.monotonic() - began < 30  # busy machines are slow


def test_a_program_that_sleeps_is_killed_too(monkeypatch):
    monkeypatch.setattr(sandbox, "_PATIENCE", 1)
    assert end_of("import time\ntime.sleep(100)", seconds=2) == "timed out"


FORKS = """import os
try:
    while True:
        os.fork()
except PermissionError:
    refused = True
assert refused"""


@walled
@pytest.mark.parametrize(
    "source",
    [
        "open('a', 'w')",
        "open('/tmp/keras_llm_was_here', 'w')",
        "open(__import__('sys').executable, 'r+b')",
        "import os\nos.mkdir('a')",
        "import os\nos.remove(os.__file__)",
        "import os\nos.rename(os.__file__, 'a')",
        "import os\nos.chmod(os.__file__, 0)",
        "import os\nos.fork()",
        "import subprocess\nsubprocess.run(['true'])",
        "import os\nos.execv('/bin/true', ['true'])",
        "import os\nos.kill(os.getppid(), 0)",
        "import socket\nsocket.socket()",
        "import resource as r\nr.setrlimit(r.RLIMIT_CPU, (9, 9))",
    ],
)
def test_what_is_refused(source):
    kinds = ("PermissionError: [Errno 1]", "ValueError: not allowed")
    assert end_of(source).startswith(kinds)
    assert not os.path.exists("/tmp/keras_llm_was_here")


@walled
def test_a_fork_bomb_gets_no_process():
    assert end_of(FORKS) == "passed"


@walled
def test_a_thread_is_refused():
    source = "import threading\nthreading.Thread(target=print).start()"
    assert end_of(source) == "RuntimeError: can't start new thread"


@walled
def test_what_programs_need_is_there():
    names = (
        "bisect, collections, copy, datetime, decimal, enum, fractions, "
        "functools, hashlib, heapq, itertools, json, math, random, re, "
        "statistics, string, time, typing"
    )
    source = f"""import {names}
hashlib.md5(b"a").hexdigest()
random.random(), datetime.datetime.now(), time.sleep(0.001)
assert open(json.__file__).read()"""
    assert end_of(source) == "passed"


def test_nothing_is_run_unasked():
    with pytest.raises(InputError, match="allow_code=True") as caught:
        run_programs(["assert False"])
    assert "1 programs" in str(caught.value)


def test_nothing_is_left_behind(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert end_of("assert 'left behind'") == "passed"
    assert not list(tmp_path.iterdir())


def test_a_python_that_does_not_start_is_told(monkeypatch):
    monkeypatch.setattr(boxed, "__file__", "/nowhere.py")
    with pytest.raises(InputError, match="Received: exit code 2"):
        end_of("assert 'not started'")


def test_limits_hold_without_the_walls(tmp_path):
    """As on other systems: a file of 1 MiB at most, processor time."""
    order = {
        "source": "open('a', 'wb').write(b'a' * (1 << 21))",
        "token": "t",
        "limits": {"seconds": 5, "memory": 1 << 30, "file_size": 1 << 20},
    }
    script = (
        f"import sys; sys.path.insert(0, {os.path.dirname(boxed.__file__)!r});"
        "import boxed; boxed.walled = lambda: False; boxed.main()"
    )
    subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        input=json.dumps(order),
        text=True,
        check=True,
    )
    said = (tmp_path / "answer").read_text()
    assert said == "started t OSError: [Errno 27] File too large"
    assert (tmp_path / "a").stat().st_size <= 1 << 20


# The kernel's program, interpreted: so that arm64 is looked at here too.

OTHERS = {"clone": (56, 220), "execve": (59, 221), "kill": (62, 129),
          "socket": (41, 198), "unlinkat": (263, 35), "ptrace": (101, 117),
          "clone3": (435, 435), "io_uring_setup": (425, 425)}  # fmt: skip


def decision(machine: str, call: int, third: int = 0, arch: int = 0) -> str:
    """What the kernel answers to a system call."""
    data = {
        0: call,
        4: arch or boxed._MACHINES[machine][1],
        32: third,
    }
    steps, at, value = boxed.filter_steps(machine), 0, 0
    while True:
        code, yes, no, operand = steps[at]
        at += 1
        if code == 0x20:
            value = data[operand]
        elif code == 0x15:
            at += yes if value == operand else no
        elif code == 0x45:
            at += yes if value & operand else no
        else:
            return {0x7FFF0000: "allow", 0x50001: "refuse"}.get(operand, "kill")


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_filter_decides(machine):
    column, _, opening = boxed._MACHINES[machine]
    for name, numbers in boxed._ALLOWED.items():
        if numbers[column] is not None:
            assert decision(machine, numbers[column]) == "allow", name
    for name, numbers in OTHERS.items():
        assert decision(machine, numbers[column]) == "refuse", name
    assert decision(machine, opening, os.O_RDONLY) == "allow"
    for flag in (os.O_WRONLY, os.O_RDWR, os.O_CREAT, os.O_TRUNC):
        assert decision(machine, opening, flag) == "refuse"
    assert decision(machine, 0x40000000) == "refuse"  # x32's numbers
    assert decision(machine, 0, arch=0x40000003) == "kill"  # 32 bits


@pytest.mark.parametrize(("samples", "correct"), [(1, 0), (5, 2), (6, 6)])
def test_pass_at_k_is_the_share_of_draws_with_a_right_one(samples, correct):
    right = [True] * correct + [False] * (samples - correct)
    for k in range(1, samples + 1):
        draws = [any(draw) for draw in itertools.combinations(right, k)]
        assert np.isclose(pass_at_k(samples, correct, k), np.mean(draws))


def test_pass_at_k_needs_as_many_answers():
    with pytest.raises(InputError, match="Set repeats to 3 or more"):
        pass_at_k(2, 1, k=3)


def test_the_metrics_of_programs():
    right, wrong = "    return 2 * n\n", "    return 1\n"
    some = Answer(DOC, [TESTS], response=[right, wrong, wrong, right])
    for k, share in ((1, 0.5), (2, 5 / 6)):
        score = METRICS[f"pass@{k}"].score["generate_until"]
        assert np.isclose(score(some, allow_code=True), share)
    one = Answer(DOC, [TESTS], response=right)
    assert METRICS["pass@1"].score["generate_until"](one, allow_code=True) == 1
    assert METRICS["pass@1"].runs_code


class Coder:
    """Writes the same two programs for every prompt."""

    name, fingerprint = "coder", "1"

    def generate(self, prompts):
        bodies = ("    return 2 * n\n", "    return n\n")
        return [bodies[prompt.seed % 2] for prompt in prompts]


def programs(folder, metric: str, repeats: int) -> Task:
    row = DOC | {"test": TESTS}
    (folder / "test.jsonl").write_text(json.dumps(row))
    return load_task(
        "humaneval",
        doc_to_target="test",
        metric_list=[{"metric": metric}],
        repeats=repeats,
        generation_kwargs={"temperature": 0.8},
        filter_list=[
            {
                "name": "all",
                "filter": [{"function": "take_first_k", "k": repeats}],
            }
        ],
    )


def test_a_task_of_programs(tmp_path):
    task = programs(tmp_path, "pass@2", 4)
    report = evaluate_tasks(Coder(), task, tmp_path, allow_code=True)
    (measure,) = report.measures().values()
    assert np.isclose(measure.value, 5 / 6)


@pytest.mark.parametrize(
    ("metric", "repeats", "allow", "words"),
    [
        ("pass@2", 1, True, "Set repeats to 2 or more"),
        ("pass@1", 1, False, "then pass allow_code=True"),
    ],
)
def test_mistakes_show_before_the_model_writes(
    metric, repeats, allow, words, tmp_path, monkeypatch
):
    monkeypatch.setattr(Coder, "generate", None)
    task = programs(tmp_path, metric, repeats)
    with pytest.raises(InputError, match=words):
        evaluate_tasks(Coder(), task, tmp_path, allow_code=allow)


@pytest.mark.slow
def test_all_solutions_of_humaneval_pass_and_stubs_do_not(shared_data):
    path = shared_data / "humaneval" / "HumanEval.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    docs = [json.loads(line) for line in lines]
    assert len(docs) == 164
    for body, expected in (("canonical_solution", 164), (None, 0)):
        programs = [
            doc["prompt"]
            + (doc[body] if body else "    return None\n")
            + f"\n{doc['test']}\ncheck({doc['entry_point']})"
            for doc in docs
        ]
        ends = run_programs(programs, allow_code=True)
        assert ends.count("passed") == expected
