"""The book's figures are ours, and its map names every folder."""

import importlib
import re
import sys

import pytest
from sources import ROOT

from keras_llm.config import DecoderConfig

sys.path.insert(0, str(ROOT / "benchmarks"))
book = importlib.import_module("book")
counts = importlib.import_module("_book_counts")

PAGE = (ROOT / "docs" / "book.md").read_text(encoding="utf-8")
# Facts about github.com/rasbt/LLMs-from-scratch at 28c65cd: chapter -> number
# of folders in it, which are numbered from 1 on.
CHAPTERS = {
    **{"ch02": 5, "ch03": 3, "ch04": 8, "ch05": 17, "ch06": 4, "ch07": 6},
    **{"setup": 4, "appendix-A": 2, "appendix-D": 1, "appendix-E": 1},
}
WHOLE = {"ch01", "appendix-B", "appendix-C", "pkg", "reasoning-from-scratch"}


def rows_of_the_map() -> list[list[str]]:
    """Folder, subject and place, of each line of the map."""
    map_ = PAGE.split("## The map")[1].split("\n## ")[0]
    lines = [line for line in map_.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]


def test_the_map_has_every_folder_once():
    folders = [row[0].strip("`") for row in rows_of_the_map()]
    numbered = {
        f"{chapter}/{number:02}"
        for chapter, count in CHAPTERS.items()
        for number in range(1, count + 1)
    }
    assert sorted(folders) == sorted(numbered | WHOLE)


def test_each_folder_has_a_place_or_a_reason():
    for folder, _, place in rows_of_the_map():
        linked = re.search(r"\]\([^)]+\)", place)
        reason = re.search(r"not here: \w+", place)
        assert linked or reason, f"{folder}: {place}"


@pytest.mark.parametrize("name", book.COUNTED)
def test_what_is_counted_is_what_the_book_prints(name):
    rows = list(book.COUNTED[name]())
    assert [row.ours for row in rows] == [row.book for row in rows]
    assert book.table(rows) in PAGE, f"Run: python benchmarks/book.py: {name}"


def test_texts_have_the_tokens_that_the_book_prints(shared_data):
    rows = list(book.texts(shared_data))
    assert [row.ours for row in rows] == [row.book for row in rows]
    assert book.table(rows) in PAGE, "Run: python benchmarks/book.py: Texts"


def test_adapters_have_the_parameters_that_are_counted():
    from keras_llm.adapters import Lora, attach
    from keras_llm.model import build_decoder

    config = DecoderConfig(
        vocabulary_size=9,
        context_length=8,
        num_layers=1,
        hidden_dim=8,
        num_heads=2,
        bias="all",
        mlp="gelu",
    )
    model = build_decoder(config)
    attach(model, Lora(rank=4, targets=("all-linear",)))
    held = sum(w.shape.num_elements() for w in model.trainable_weights)
    assert held == counts.lora_parameters(config, 4)


def test_the_first_loss_of_dpo_is_the_book_s():
    import numpy as np

    from keras_llm.tune import preference_losses

    alike = np.zeros((1, 2), "float32")
    loss = float(preference_losses.dpo(alike, beta=0.1)[0])
    assert f"{loss:.4f}" == "0.6931"
    assert "0.6931" in PAGE
