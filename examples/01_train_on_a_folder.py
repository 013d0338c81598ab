"""Trains a language model on a folder of texts, and has it continue one.

    python 01_train_on_a_folder.py [FOLDER] [--minutes 10] [--out runs/mine]

Without a folder it reads five books of Project Gutenberg. MINUTES are those of
the training, the rest takes one. Stopped with Ctrl-C, the same command goes
on. Out comes OUT/model, which the other examples begin with, and which
`keras-llm serve OUT/model` serves. For a model that knows more of the world
give them a published one instead: --model HuggingFaceTB/SmolLM2-135M-Instruct.
"""

import argparse
import os
from pathlib import Path

import keras_llm as kl

TINY = bool(os.environ.get("KERAS_LLM_TINY"))  # for a test: learns nothing
TOKENS, CONTEXT = 1024 if TINY else 4096, 512
SIZE = {"num_layers": 1, "hidden_dim": 32} if TINY else {}


def main() -> None:
    """Curates, tokenizes, packs, trains, saves, and continues a text."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--out", type=Path, default=Path("runs/mine"))
    given = parser.parse_args()
    out, rows = given.out, given.out / "rows"

    texts = given.folder or kl.data.download("gutenberg")
    documents = kl.data.read_documents(texts, encoding="detect")
    steps = [kl.data.gutenberg(), kl.data.split_long()]
    steps += kl.data.default_steps()
    kl.data.curate(documents, out / "corpus", heldout=0.05, steps=steps)

    corpus = kl.data.read_corpus(out / "corpus")
    tokenizer = kl.BytePairTokenizer.train((one.text for one in corpus), TOKENS)
    kl.data.pack_corpus(out / "corpus", tokenizer, rows, CONTEXT)
    size = {"vocabulary_size": tokenizer.vocabulary_size, **SIZE}
    config = kl.zoo.config("tiny", context_length=CONTEXT, **size)
    model = kl.build_decoder(config)
    report = kl.train.fit(
        model,
        kl.data.open_rows(rows),
        validation_rows=kl.data.open_rows(rows, "heldout"),
        out=out / "run",
        batch_size=8,
        learning_rate=3e-3,
        **({"steps": 10} if TINY else {"minutes": given.minutes}),
    )
    lm = kl.CausalLM(model, tokenizer)
    lm.save(out / "model")
    print(f"{report.steps} steps, loss {report.validation_loss:.3f} held out")
    print(lm.generate("It was a", max_new_tokens=40, temperature=0.8, seed=1))


if __name__ == "__main__":
    main()
