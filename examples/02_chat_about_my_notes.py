"""Teaches a language model your notes, then to answer, and asks it something.

    python 02_chat_about_my_notes.py [NOTES] [--model runs/mine/model]

NOTES is a file or folder of texts; without it, a short story of 1908. First
the model reads the notes (plain text), then it learns from 1,100 instructions
what an answer looks like; both train one small adapter (LoRA), so that little
else is forgotten. Out comes OUT/lm, to talk to with `keras-llm chat OUT`.

A model of minutes has the form of answers and not their truth. Notes that must
be quoted exactly belong into the prompt, not into the weights.
"""

import argparse
import os
from pathlib import Path

import keras_llm as kl

TINY = bool(os.environ.get("KERAS_LLM_TINY"))  # for a test: learns nothing
LORA = {"lora": {"rank": 16, "targets": "all-linear"}}


def main() -> None:
    """Reads the notes, learns to answer, answers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notes", nargs="?", type=Path)
    parser.add_argument("--model", default="runs/mine/model")
    parser.add_argument("--ask", default="Who was Jack Gisburn?")
    parser.add_argument("--out", type=Path, default=Path("runs/notes"))
    given = parser.parse_args()
    notes = given.notes or kl.data.download("the_verdict") / "the-verdict.txt"
    chats = kl.data.download("instructions") / "instruction-data.json"

    lm = kl.zoo.load(given.model, context_length=512)
    texts = [one.text for one in kl.data.read_documents(notes)]
    read = kl.tune.text(
        lm,
        texts,
        trainable=LORA,
        batch_size=4,
        **({"steps": 2} if TINY else {"epochs": 4}),
    )
    train, held = kl.tune.held_out(kl.tune.read_conversations(chats))
    answers = kl.tune.chat(
        lm,
        train,
        validation=held[: 4 if TINY else 100],
        out=given.out,
        **({"steps": 2} if TINY else {"epochs": 2}),
    )
    print(f"notes: loss {read.train['loss']:.3f}")
    print(answers.table())
    print(given.ask, "->", "".join(lm.chat(given.ask, max_new_tokens=60)))


if __name__ == "__main__":
    main()
