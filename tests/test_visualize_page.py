"""The code of docs/pictures.md runs, and its pictures are small."""

import re

import keras
import pytest
from sources import ROOT

from keras_llm import BytePairTokenizer, CausalLM, DecoderConfig, Experts
from keras_llm.model import build_decoder
from keras_llm.visualize import __all__ as names

PAGE = (ROOT / "docs" / "pictures.md").read_text(encoding="utf-8")
TEXT = "Alice said a little, and a little more said Alice. " * 12


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """What the page says that its names stand for."""
    folder = tmp_path_factory.mktemp("page")
    keras.utils.set_random_seed(1)
    tokenizer = BytePairTokenizer.train([TEXT], 300, progress=False)
    config = DecoderConfig(
        vocabulary_size=tokenizer.vocabulary_size,
        context_length=64,
        num_layers=2,
        hidden_dim=16,
        num_heads=2,
        experts=Experts(count=4, top_k=2),
    )
    (folder / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0}\n')
    return {
        "lm": CausalLM(build_decoder(config), tokenizer),
        "gpt2": tokenizer,
        "run": folder,
        "text": TEXT,
        "passage": TEXT[:100],
    }


def test_the_code_of_the_page_runs(given):
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE, re.M | re.S)
    exec("\n".join(blocks), given)  # noqa: S102
    assert (given["run"] / "tensorboard" / "pictures").is_dir()


def test_the_page_names_every_picture_and_shows_it():
    missing = [n for n in names if n.endswith("_figure") and n not in PAGE]
    assert not missing
    shown = set(re.findall(r"\(pictures/(\w+\.png)\)", PAGE))
    files = {path.name for path in (ROOT / "docs" / "pictures").iterdir()}
    assert shown == files


def test_the_pictures_are_small():
    sizes = [p.stat().st_size for p in (ROOT / "docs/pictures").iterdir()]
    assert sum(sizes) < 1_500_000 and all(sizes)
