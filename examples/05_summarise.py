"""Teaches a language model to summarise, and measures it by ROUGE.

    python 05_summarise.py [TRAIN TEST] [--model runs/mine/model]

Files of JSON lines with `source`, a list of sentences, and `target`, a list of
summaries; without them, abstracts of papers with a summary of one sentence
(SciTLDR). Out come OUT/lm and its scores, beside those of an abstract's first
sentence, which a small model does not reach.
"""

import argparse
import json
import os
from pathlib import Path

import keras_llm as kl

TINY = bool(os.environ.get("KERAS_LLM_TINY"))  # for a test: learns nothing
COUNT = 3 if TINY else 40  # texts that are summarised for the score


def read(path: Path) -> list[dict[str, str]]:
    """The texts of a file and their summaries."""
    papers = map(json.loads, path.read_text("utf-8").splitlines())
    pairs = [(" ".join(one["source"]), one["target"][0]) for one in papers]
    return [{"text": text, "summary": summary} for text, summary in pairs]


def main() -> None:
    """Learns from papers, and summarises some that it has not seen."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--model", default="runs/mine/model")
    parser.add_argument("--out", type=Path, default=Path("runs/summaries"))
    given = parser.parse_args()
    folder = kl.data.download("scitldr") if not given.files else Path()
    names = given.files or ["train.jsonl", "test.jsonl"]
    train, test = (read(folder / name) for name in names)

    lm = kl.zoo.load(given.model, context_length=512)
    size = {"steps": 2} if TINY else {"epochs": 2}
    talks = kl.tune.as_instructions("summarize", train)
    kl.tune.chat(lm, talks, out=given.out, learning_rate=1e-3, **size)

    room = 512 - 80  # the rest is for a question and a summary
    fits = [one for one in test if len(lm.tokenizer.encode(one["text"])) < room]
    asked = list(kl.tune.as_instructions("summarize", fits[:COUNT]))
    said = [
        "".join(lm.chat(list(one.messages[:-1]), max_new_tokens=40))
        for one in asked
    ]
    right = [one.messages[-1]["content"] for one in asked]
    first = [one["text"].split(". ")[0] + "." for one in fits[:COUNT]]
    for name, texts in (("model", said), ("first sentence", first)):
        print(name, kl.evaluate.rouge(texts, right))
    print(right[0], "<->", said[0])


if __name__ == "__main__":
    main()
