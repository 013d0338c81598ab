"""Teaches a language model to find names in sentences, measured by span F1.

    python 06_name_entities.py [TRAIN TEST] [--model runs/mine/model]

CoNLL files: a word and its tag in each line, an empty line between sentences;
without them, posts with people, places, products and so on (WNUT17). Out come
OUT/classifier, for `classify.Tagger.load`, and the scores by kind, as seqeval
counts them. WNUT17 was won with 41.9 % in 2017, by more than we have here.
"""

import argparse
import os
from pathlib import Path

import keras_llm as kl
from keras_llm import classify

TINY = bool(os.environ.get("KERAS_LLM_TINY"))  # for a test: learns nothing


def main() -> None:
    """Learns from tagged sentences, and finds names in others."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--model", default="runs/mine/model")
    parser.add_argument("--out", type=Path, default=Path("runs/names"))
    given = parser.parse_args()
    folder = kl.data.download("wnut17") if not given.files else Path()
    names = given.files or ["train.conll", "test.conll"]
    train, test = (list(kl.tune.read_tagged(folder / name)) for name in names)

    tagger = classify.tokens(
        kl.zoo.load(given.model, context_length=256),
        train,
        class_weights={"O": 0.2},  # most words are no name
        learning_rate=1e-3,
        out=given.out,
        **({"steps": 2} if TINY else {"epochs": 4}),
    )
    test = test[: 50 if TINY else None]
    found = classify.evaluate_tags(tagger, test)
    print(f"F1 {found['f1']:.3f}, standard error {found['errors']['f1']:.3f}")
    for kind, one in found["kinds"].items():
        print(f"  {kind}: {one['f1']:.3f} of {one['support']}")
    words = "Last week I saw Ada Lovelace in Kuala Lumpur .".split()
    for span in tagger.spans([words])[0]:
        print(" ".join(words[span.start : span.end]), "is a", span.kind)


if __name__ == "__main__":
    main()
