"""A spam filter for a phone: from labelled messages to a LiteRT file.

    python 03_spam_filter_to_phone.py [MESSAGES] [--model runs/mine/model]

MESSAGES is a file with `text` and `label` (JSON Lines, CSV, TSV); without it,
5,574 text messages. Out come spam.tflite, spam.tflite.json with what an app
must know, and tokenizer.json; then they are tried without Keras or TensorFlow.
"""

import argparse
import json
import os
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from tokenizers import Tokenizer

import keras_llm as kl

TINY = bool(os.environ.get("KERAS_LLM_TINY"))  # for a test: learns nothing


def on_the_phone(folder: Path, texts: list[str]) -> list[str]:
    """What an app does: ids, the model, the likeliest label."""
    told = json.loads((folder / "spam.tflite.json").read_text("utf-8"))
    ids = told["ids"]["start"], told["ids"]["end"]  # None where there is none
    start, end = ([] if i is None else [i] for i in ids)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    model = Interpreter(str(folder / "spam.tflite")).get_signature_runner()
    room, labels = told["width"] - len(start + end), []
    for text in texts:
        ids = tokenizer.encode(text, add_special_tokens=False).ids[:room]
        row = start + ids + end + [told["padding"]] * (room - len(ids))
        found = model(tokens=np.array([row], np.int32))["probabilities"]
        labels.append(told["labels"][found.argmax()])
    return labels


def main() -> None:
    """Learns from most messages, is exported, and tried on the rest."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("messages", nargs="?", type=Path)
    parser.add_argument("--model", default="runs/mine/model")
    parser.add_argument("--out", type=Path, default=Path("runs/spam"))
    given = parser.parse_args()
    path = given.messages or kl.data.download("sms_spam") / "sms.tsv"
    train, test = kl.tune.held_out(kl.tune.read_labelled(path), 0.2)
    lm = kl.zoo.load(given.model, context_length=96)  # longer ones are cut
    run = {"epochs": 0.02 if TINY else 2, "out": given.out}
    spam = kl.classify.sequence(lm, train, **run)
    spam.tokenizer.save(given.out)
    print(kl.export.classifier_litert(spam, given.out / "spam.tflite"))
    found = np.array(on_the_phone(given.out, [one.text for one in test]))
    right = found == [one.labels[0] for one in test]
    print(f"accuracy on the phone: {right.mean():.4f}")


if __name__ == "__main__":
    main()
