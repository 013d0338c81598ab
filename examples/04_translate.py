"""Teaches a language model to translate, and measures it by BLEU and chrF.

    python 04_translate.py [ENGLISH GERMAN] [--model runs/mine/model]

Two files with a sentence in each line, line by line the same; without them,
1,000 pairs of Tatoeba. The model of 01 has read no German and learns a few
words; this needs one that has read both (--model). Out come OUT/lm and the
scores on a tenth of the sentences, beside those of leaving them as they are.
"""

import argparse
import os
from pathlib import Path

import keras_llm as kl
from keras_llm import evaluate, tune

LANGUAGES = {"source": "English", "target": "German"}
TINY = bool(os.environ.get("KERAS_LLM_TINY"))  # for a test: learns nothing


def main() -> None:
    """Learns from most sentences and translates the rest."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--model", default="runs/mine/model")
    parser.add_argument("--out", type=Path, default=Path("runs/translate"))
    given = parser.parse_args()
    folder = kl.data.download("tatoeba") if not given.files else Path()
    names = given.files or ["tatoeba.deu-eng.eng", "tatoeba.deu-eng.deu"]
    source, target = (
        (folder / name).read_text("utf-8").splitlines() for name in names
    )
    pairs = dict(zip(source, target, strict=True))  # each sentence once
    records = [{"text": a, "translation": b} for a, b in pairs.items()]
    talks = tune.as_instructions("translate", records, **LANGUAGES)
    train, test = tune.held_out(talks)

    lm = kl.zoo.load(given.model, context_length=512)
    size = {"steps": 2} if TINY else {"epochs": 6}
    report = tune.chat(
        lm, train, validation=test, out=given.out, learning_rate=1e-3, **size
    )
    print(report.table())

    test = test[: 3 if TINY else None]
    right = [one.messages[-1]["content"] for one in test]
    said = [
        "".join(lm.chat(list(one.messages[:-1]), max_new_tokens=40))
        for one in test
    ]
    unchanged = [records[one.line - 1]["text"] for one in test]
    for name, texts in (("model", said), ("unchanged", unchanged)):
        bleu, chrf = evaluate.bleu(texts, right), evaluate.chrf(texts, right)
        print(f"{name}: BLEU {bleu.score:.1f}, {chrf.name} {chrf.score:.1f}")
    print(unchanged[0], "->", said[0])


if __name__ == "__main__":
    main()
