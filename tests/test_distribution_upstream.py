"""Says when Keras does by itself what train/strategy_tensorflow.py adds."""

import json
import subprocess
import sys

import keras
import pytest
import stock_keras

from keras_llm.cli.workers import Group

pytestmark = pytest.mark.slow

ERRORS = {
    "uneven": "AddN",  # keras issue 19246
    "accumulate": "merge_call",  # 20582
    "several_steps": "while/cond/Placeholder",  # 19246
    "xla": "Trying to access resource",  # 19005
}
WRONG = ("clip", "token_mean")


def gone(name: str) -> str:
    return (
        f"Keras {keras.__version__} trains {name!r} rightly under a strategy, "
        "or fails in another way: look whether train/strategy_tensorflow.py "
        "can lose what makes up for it."
    )


@pytest.fixture(scope="module")
def stock() -> dict:
    done = subprocess.run(
        [sys.executable, stock_keras.__file__, "mirrored", *stock_keras.CASES],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", ERRORS)
def test_keras_still_fails(stock, name):
    assert ERRORS[name] in str(stock[name]), gone(name)


@pytest.mark.parametrize("name", WRONG)
def test_keras_is_still_wrong(stock, name):
    assert isinstance(stock[name], float), stock[name]
    assert stock[name] > 1e-4, gone(name)


def test_the_comparison_itself_is_right(stock):
    assert stock["plain"] < 1e-6


def test_keras_still_fails_on_several_processes():
    lines: list[str] = []
    script = [sys.executable, stock_keras.__file__, "multi_worker", "plain"]
    assert Group(script, 2, lines.append).run() == 0, lines
    found = [line for line in lines if line.startswith('[0] {"plain"')]
    # keras issue 20585
    assert "PerReplica" in found[0], gone("multi_worker")
