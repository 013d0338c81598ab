"""How many labels does active learning save on SMS spam?

    python benchmarks/active_learning.py [--data ../shared/data] [--seeds 5]
        [--steps 500] [--rounds 40] [--json PATH] [--plot PATH]

A tiny decoder is pretrained here, for `--steps` (about two minutes), on the
texts of the pool without their labels. On its embeddings (`CausalLM.embed`)
learns a logistic regression with dropout (Keras, `model.fit`). It begins with
20 random labels and gets 10 more in each round: random ones, or those that
`feedback.rank` names. Each text stands in the data once, and 1,500 are for the
test only, so nothing is learned by heart. The goal: the accuracy of all labels
minus one point, with at most half the labels that random sampling needs.

With two classes margin and least confidence choose what entropy chooses.
"""

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import _pairs
import numpy as np

TEST, START, BATCH = 1500, 20, 10
CONTEXT, VOCABULARY = 128, 2048
STEPS, RATE, DECAY, DROPOUT, SAMPLES = 200, 0.05, 1e-4, 0.2, 10
# name -> method of `simulate`, and whether a batch is spread by k-center
METHODS = {
    "random": ("random", False),
    "entropy": ("entropy", False),
    "entropy + k-center": ("entropy", True),
    "BALD": ("bald", False),
    "BALD + k-center": ("bald", True),
}


def sms(data: Path) -> tuple[list[str], np.ndarray]:
    """Returns each text once, in an order that is always the same."""
    lines = (data / "sms_spam/sms.tsv").read_text(encoding="utf-8").split("\n")
    pairs = [line.split("\t", 1) for line in lines if line]
    known = {text.strip(): label == "spam" for label, text in pairs}
    order = np.random.default_rng(0).permutation(len(known))
    texts = list(known)
    labels = np.array(list(known.values()), "int64")
    return [texts[i] for i in order], labels[order]


def pretrained(texts: list[str], steps: int) -> Any:
    """Returns a tiny language model of the texts."""
    import keras

    import keras_llm as kl

    keras.utils.set_random_seed(0)
    tokenizer = kl.BytePairTokenizer.train(texts, VOCABULARY)
    config = kl.zoo.config(
        "tiny",
        vocabulary_size=tokenizer.vocabulary_size,
        context_length=CONTEXT,
    )
    model = kl.build_decoder(config)
    with tempfile.TemporaryDirectory() as folder:
        documents = [kl.data.Document(text, "sms") for text in texts]
        kl.data.pack_corpus(documents, tokenizer, folder, CONTEXT)
        kl.train.fit(
            model,
            kl.data.open_rows(folder),
            steps=steps,
            batch_size=16,
            learning_rate=3e-3,
        )
    return kl.CausalLM(model, tokenizer)


def embeddings(lm: Any, texts: list[str]) -> np.ndarray:
    """Returns float32 `(texts, width)`; texts of one length go together."""
    ids = lm.tokenizer.encode(texts, disallowed_special=())
    cut = [lm.tokenizer.decode(row[: CONTEXT - 8]) for row in ids]
    order = sorted(range(len(texts)), key=lambda i: len(ids[i]))
    found = np.zeros((len(texts), lm.config.hidden_dim), "float32")
    for begin in range(0, len(order), 64):
        some = order[begin : begin + 64]
        found[some] = lm.embed([cut[i] for i in some])
    return found


class Head:
    """A logistic regression with dropout, trained anew in every round."""

    def __init__(self, points: np.ndarray, labels: np.ndarray, seed: int):
        import keras

        self.points, self.labels = points, labels
        keras.utils.set_random_seed(seed)
        self.model = keras.Sequential(
            [
                keras.Input(points.shape[1:]),
                keras.layers.Dropout(DROPOUT),
                keras.layers.Dense(
                    2,
                    "softmax",
                    kernel_regularizer=keras.regularizers.L2(DECAY),
                ),
            ]
        )
        self.model.compile(
            keras.optimizers.Adam(RATE),
            "sparse_categorical_crossentropy",
            steps_per_execution=STEPS,
        )
        self.model.optimizer.build(self.model.trainable_variables)
        self.first = self.model.get_weights()

    def train(self, indices: np.ndarray, given: np.ndarray, room: int) -> None:
        """Fits from the same first weights, all labels in each step."""
        import tensorflow as tf

        self.model.set_weights(self.first)
        for variable in self.model.optimizer.variables:
            if variable is not self.model.optimizer.learning_rate:
                variable.assign(np.zeros(variable.shape))
        # Padded to one shape, so that the step is compiled once.
        weights = np.zeros(room, "float32")
        weights[: len(indices)] = room / len(indices)
        places, targets = np.zeros((2, room), "int64")
        places[: len(indices)], targets[: len(indices)] = indices, given
        row = (self.points[places], targets, weights)
        data = tf.data.Dataset.from_tensors(row).repeat(STEPS)
        self.model.fit(data, steps_per_epoch=STEPS, shuffle=False, verbose=0)

    def probabilities(self, where: slice, samples: int = 0) -> np.ndarray:
        """Returns probabilities, or samples of them with dropout on."""
        points = self.points[where]
        if not samples:
            return np.asarray(self.model(points), "float64")
        return np.stack(
            [self.model(points, training=True) for _ in range(samples)]
        ).astype("float64")

    def accuracy(self) -> float:
        """Returns the share of right answers on the texts of the test."""
        said = self.probabilities(slice(TEST)).argmax(-1)
        return float((said == self.labels[:TEST]).mean())


def classifier(head: Head, room: int, samples: int) -> Callable[..., Any]:
    """Returns what `simulate` takes; the pool is what follows the test."""

    def train_and_predict(indices: np.ndarray, given: np.ndarray) -> tuple:
        head.train(indices + TEST, given, room)
        pool = head.probabilities(slice(TEST, None), samples)
        return pool, head.accuracy()

    return train_and_predict


def runs(
    points: np.ndarray, labels: np.ndarray, seeds: int, rounds: int
) -> tuple[dict[str, list], float]:
    """Returns the simulations of each method, and what all labels reach."""
    from keras_llm.feedback import simulate

    found: dict[str, list] = {name: [] for name in METHODS}
    whole, room = [], START + BATCH * (rounds - 1)
    pool = np.arange(TEST, len(labels))
    for seed in range(seeds):
        head = Head(points, labels, seed)
        for name, (method, spread) in METHODS.items():
            samples = SAMPLES if method == "bald" else 0
            one = simulate(
                classifier(head, room, samples),
                labels[TEST:],
                method,
                start=START,
                batch=BATCH,
                rounds=rounds,
                seed=seed,
                embeddings=points[TEST:] if spread else None,
            )
            found[name].append(one)
            print(f"seed {seed}  {name:20} {one.accuracy[-1]:.4f}", flush=True)
        head.train(pool, labels[pool], len(pool))
        whole.append(head.accuracy())
    return found, float(np.mean(whole))


def summary(found: dict[str, list], goal: float) -> list[dict[str, Any]]:
    """Returns a row for each method: the labels that the goal takes.

    From so many labels on, the mean of the seeds stays at the goal.
    """
    rows = []
    for name, some in found.items():
        mean = np.mean([one.accuracy for one in some], axis=0)
        counts = some[0].labels
        below = int(np.flatnonzero(mean < goal).max(initial=-1))
        rows.append(
            {
                "name": name,
                "labels_to_goal": dict(enumerate(counts)).get(below + 1),
                "first_of_each_seed": str(
                    [one.labels_for(goal) for one in some]
                ),
                "accuracy_100": float(mean[counts.index(100)]),
                "accuracy_200": float(mean[counts.index(200)]),
                "accuracy_last": float(mean[-1]),
            }
        )
    return rows


def draw(found: dict[str, list], whole: float, path: Path, saved: str) -> None:
    """Draws the mean of the seeds with a band of one deviation."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    for number, (name, some) in enumerate(found.items()):
        reached = 100 * np.array([one.accuracy for one in some])
        mean, spread = reached.mean(0), reached.std(0)
        color = "black" if name == "random" else f"C{number - 1}"
        axes.plot(some[0].labels, mean, label=name, color=color)
        axes.fill_between(
            some[0].labels, mean - spread, mean + spread, color=color, alpha=0.1
        )
    axes.axhline(100 * whole, color="grey", linewidth=1, label="all labels")
    axes.axhline(
        100 * whole - 1, color="grey", linestyle=":", label="minus one point"
    )
    axes.set(xlabel="labels", ylabel="test accuracy (%)", title=saved)
    axes.set_ylim(bottom=100 * whole - 10)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=100, metadata={"Software": None})


def main() -> None:
    """Pretrains, labels, prints one table, writes JSON and the picture."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--cores", type=int, help="use only so many cores")
    parser.add_argument("--json")
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.cores])
    texts, labels = sms(options.data)
    lm = pretrained(texts[TEST:], options.steps)
    points = embeddings(lm, texts)
    pool = points[TEST:]
    points = (points - pool.mean(0)) / pool.std(0) / np.sqrt(pool.shape[1])
    found, whole = runs(points, labels, options.seeds, options.rounds)
    rows = summary(found, whole - 0.01)
    _pairs.show(f"SMS spam; all {len(pool)} labels: {whole:.4f}", rows)
    saved = verdict(rows)
    print(saved)
    if options.plot:
        draw(found, whole, options.plot, saved)
    simulations = {
        name: [one.to_dict() | {"chosen": ()} for one in some]
        for name, some in found.items()
    }
    results = {"texts": len(texts), "pool": len(pool), "all_labels": whole}
    _pairs.write(
        options.json, {**results, "rows": rows, "simulations": simulations}
    )


def verdict(rows: list[dict[str, Any]]) -> str:
    """Says how many labels were saved, or that the goal was not reached."""
    need = {row["name"]: row["labels_to_goal"] for row in rows}
    random = need.pop("random")
    best = min((n, name) for name, n in need.items() if n)
    if random is None:
        return f"{best[1]}: {best[0]} labels; random: not reached"
    share = best[0] / random
    word = "reached" if share <= 0.5 else "not reached"
    return (
        f"{best[1]}: {best[0]} labels, random: {random} "
        f"({share:.0%}; the goal of 50 % was {word})"
    )


if __name__ == "__main__":
    main()
