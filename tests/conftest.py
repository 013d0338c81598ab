"""Shared by all tests: quiet TensorFlow, tiny configs, real data if there."""

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import pytest

DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real texts beside the checkout."""
    if not DATA.is_dir():
        pytest.skip(f"no real texts at {DATA}")
    return DATA


@pytest.fixture(autouse=True)
def same_seed():
    """Every test starts from the same random state."""
    import sys

    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(1)


@pytest.fixture
def write(tmp_path):
    """Writes a file and returns its path."""

    def write(content: bytes, name: str = "a.jsonl"):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write
