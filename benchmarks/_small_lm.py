"""A small language model pretrained here, once, for benchmarks of tuning."""

import time
from pathlib import Path
from typing import Any

import numpy as np

VOCABULARY, CONTEXT = 4096, 512
BOOKS = (
    *("gutenberg/Alice-s-Adventures-in-Wonderland_11.txt",),
    "gutenberg/Pride-and-Prejudice_1342.txt",
    "gutenberg/The-Adventures-of-Sherlock-Holmes_1661.latin1.txt",
    "wikitext2/test.txt",
)


def small_lm(
    data: Path, folder: Path, steps: int, more: tuple[str, ...] = ()
) -> Any:
    """Returns a `CausalLM` of four blocks, 256 wide, with 4,096 tokens.

    Args:
        data: ../shared/data.
        folder: Where it is kept; one that is there is loaded.
        steps: Of 4,096 tokens to pretrain for.
        more: Texts beside the books, such as those to be tuned on without
            their labels or answers.
    """
    import keras

    import keras_llm as kl

    precision = kl.train.choose_precision()
    if (folder / "lm").is_dir():
        return kl.CausalLM.load(folder / "lm", dtype=precision)
    keras.utils.set_random_seed(0)
    texts = [*(read(data / name) for name in BOOKS), *more]
    pieces = [piece for text in texts for piece in cut(text)]
    tokenizer = kl.BytePairTokenizer.train(pieces, VOCABULARY, progress=False)
    rows = kl.tune.text_rows_of(pieces, tokenizer, 256)
    order = np.random.default_rng(0).permutation(len(rows))
    held = len(rows) // 50
    model = kl.build_decoder(
        kl.DecoderConfig(
            vocabulary_size=tokenizer.vocabulary_size,
            context_length=CONTEXT,
            num_layers=4,
            hidden_dim=256,
            num_heads=4,
        ),
        precision,
    )
    started = time.monotonic()
    report = kl.train.fit(
        model,
        rows.take(order[held:]),
        validation_rows=rows.take(order[:held]),
        steps=steps,
        batch_size=16,
        learning_rate=3e-3,
        out=folder / "pretraining",
    )
    print(
        f"pretrained {report.parameters:,} parameters on {report.tokens:,} "
        f"tokens in {time.monotonic() - started:.0f} s: validation loss "
        f"{report.validation_loss:.3f}"
    )
    lm = kl.CausalLM(model, tokenizer)
    lm.save(folder / "lm")
    return lm


def read(path: Path) -> str:
    """Returns a text whose name says its encoding."""
    encoding = "latin-1" if "latin1" in path.name else "utf-8"
    return path.read_text(encoding=encoding)


def cut(text: str, size: int = 2000) -> list[str]:
    """Returns a text in pieces of about a size, cut between paragraphs."""
    pieces, piece = [], ""
    for paragraph in text.split("\n\n"):
        piece += paragraph + "\n\n"
        if len(piece) >= size:
            pieces.append(piece)
            piece = ""
    return [*pieces, piece] if piece.strip() else pieces
