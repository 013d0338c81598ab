"""From thumbs to a better model: the feedback store, pairs, then DPO.

    keras-llm serve runs/notes/lm --feedback thumbs.sqlite
    python 07_dpo_from_thumbs.py [thumbs.sqlite] [--model runs/notes/lm]

The server's page has thumbs under each answer; the store keeps them. Without a
store, one is made of 1,100 polite answers (thumb up) and as many impolite ones.
Out come OUT/pairs.jsonl, OUT/lm, and how many held-out pairs it now ranks as
people did: a half is chance.
"""

import argparse
import itertools
import os
from pathlib import Path

import keras_llm as kl
from keras_llm.feedback import Answer, FeedbackStore

TINY = bool(os.environ.get("KERAS_LLM_TINY"))  # for a test: learns nothing


def some_thumbs(store: FeedbackStore) -> None:
    """What a server writes while people click, here from a file of pairs."""
    file = "instruction-data-with-preference.json"
    pairs = kl.tune.read_pairs(kl.data.download("instructions") / file)
    for pair in itertools.islice(pairs, 40 if TINY else None):
        asked = {"prompt": list(pair.prompt), "model": "demo/1"}
        for text, thumb in ((pair.chosen, 1), (pair.rejected, -1)):
            name = f"{pair.line}{thumb:+}"
            store.add(Answer(id=name, text=text, **asked))
            store.rate(name, thumb)


def main() -> None:
    """From the store to pairs, from pairs to a model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", nargs="?", type=Path)
    parser.add_argument("--model", default="runs/notes/lm")
    parser.add_argument("--out", type=Path, default=Path("runs/preferred"))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    with FeedbackStore(given.store or given.out / "thumbs.sqlite") as store:
        if given.store is None:
            some_thumbs(store)
        print(store.counts())
        store.write_preferences(given.out / "pairs.jsonl")
    pairs = kl.tune.read_pairs(given.out / "pairs.jsonl")
    train, test = kl.tune.held_out(pairs)

    lm = kl.zoo.load(given.model, context_length=512)
    run = {"validation": test, "out": given.out, "learning_rate": 1e-4}
    report = kl.tune.prefer(lm, train, steps=2 if TINY else 120, **run)
    lm.save(given.out / "lm")
    last = kl.train.read_history(report.history)[-1]
    print(f"ranked as people did: {last['validation_accuracy']:.3f}")


if __name__ == "__main__":
    main()
