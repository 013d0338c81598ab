"""Does GRPO teach a small model to add, from rewards alone?

    python benchmarks/grpo.py [--steps 700] [--largest 9] [--json PATH]
        [--plot PATH]

A small decoder, made here, reads sums such as "3+4=". It first learns from
right answers, but only until one answer in ten is right when drawn at
temperature 1: it then knows how an answer looks, not what it is. From there
on GRPO sees no answer; it is told which of its own are right. One sum in five
is held out from both: what is learned there is addition, not a table.
"""

import argparse
import contextlib
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CONTEXT, NEW = 16, 4
SFT_EVERY, SFT_BATCH, SFT_RATE, BEGIN = 5, 64, 1e-3, 0.09
GROUP, BATCH, RATE = 16, 512, 1e-3  # 2e-3 with 256 forgot how to answer
KL = 0.1  # without, some answers are never drawn again: 80 % right


def questions(largest: int) -> tuple[list[Any], list[Any]]:
    """Returns all sums of two numbers, and those held out."""
    from keras_llm import tune
    from keras_llm.tune.questions import Question

    numbers = range(largest + 1)
    return tune.held_out(
        [
            Question(tune.exchange(f"{a}+{b}="), {"answer": a + b})
            for a in numbers
            for b in numbers
        ],
        fraction=0.2,
    )


def model() -> Any:
    """Returns an untrained language model of single characters."""
    import keras

    import keras_llm as kl
    from keras_llm.tokenizers import HostTokenizer

    keras.utils.set_random_seed(0)
    tokenizer = HostTokenizer.train(["+"], 261, progress=False)
    config = kl.DecoderConfig(
        vocabulary_size=tokenizer.vocabulary_size,
        context_length=CONTEXT,
        num_layers=2,
        hidden_dim=96,
        num_heads=4,
    )
    return kl.CausalLM(kl.build_decoder(config), tokenizer)


def right(lm: Any, asked: Sequence[Any], temperature: float = 0.0) -> float:
    """Returns the share of right answers."""
    from keras_llm.tune import rewards
    from keras_llm.tune.answers import mean_reward

    return mean_reward(
        lm,
        asked,
        rewards.exact(),
        temperature=temperature,
        max_new_tokens=NEW,
        template="plain",
        batch_size=512,
    )


def instruct(lm: Any, asked: Sequence[Any]) -> int:
    """Learns from right answers until one in ten is right; returns steps."""
    import keras

    from keras_llm import train, tune

    chats = [
        tune.Conversation(tune.exchange(one.text, str(one.record["answer"])))
        for one in asked
    ]
    rows = tune.completion_rows(chats, lm.tokenizer, CONTEXT, pack=False)
    steps = 0

    class EnoughError(Exception):
        """One in ten is right."""

    class Stop(keras.callbacks.Callback):
        """Asks after each window."""

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            nonlocal steps
            steps = logs["step"]
            if right(lm, asked, temperature=1.0) >= BEGIN:
                raise EnoughError

    with contextlib.suppress(EnoughError):
        train.fit(
            lm.model,
            rows,
            steps=1000,
            batch_size=SFT_BATCH,
            learning_rate=SFT_RATE,
            schedule="constant",
            warmup_steps=0,
            log_every=SFT_EVERY,
            validate_every=1000,
            checkpoint_every=1000,
            sample_every=1000,
            callbacks=[Stop()],
        )
    return steps


def reinforce(
    lm: Any,
    asked: Sequence[Any],
    held: Sequence[Any],
    args: argparse.Namespace,
) -> list[dict[str, Any]]:
    """Learns from rewards; returns the lines of the run."""
    import keras

    from keras_llm import train
    from keras_llm.tune import rewards
    from keras_llm.tune.grpo import grpo

    scores = {}

    class Score(keras.callbacks.Callback):
        """Answers what is held out, greedily."""

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if logs["step"] % 50 == 0:
                scores[logs["step"]] = right(lm, held)

    with tempfile.TemporaryDirectory() as folder:
        report = grpo(
            lm,
            asked,
            rewards.exact(),
            group=args.group,
            batch_size=BATCH,
            max_new_tokens=NEW,
            template="plain",
            steps=args.steps,
            learning_rate=args.rate,
            kl=args.kl,
            temperature=args.temperature,
            out=folder,
            checkpoint_every=100_000,
            validate_every=100_000,
            sample_every=100_000,
            callbacks=[Score()],
        )
        history = train.read_history(str(report.history))
    names = ("step", "reward", "entropy", "length", "seconds")
    lines = [{name: line[name] for name in names} for line in history]
    return [
        {**line, "held_out": scores[line["step"]]}
        if line["step"] in scores
        else line
        for line in lines
    ]


def plot(history: Sequence[dict[str, Any]], path: Path) -> None:
    """Draws the rewards over the time."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.0, 4.0), layout="constrained")
    axes = figure.subplots()
    for name, label, mark in (
        ("reward", "drawn at temperature 1", ""),
        ("held_out", "sums held out, greedy", "."),
    ):
        points = [(h["step"], h[name]) for h in history if name in h]
        axes.plot(*zip(*points, strict=True), label=label, marker=mark)
    axes.axhline(0.9, color="gray", linewidth=0.8, linestyle="--")
    axes.set(
        xlabel="update of GRPO",
        ylabel="right answers",
        ylim=(0, 1),
        title="Addition, learned from rewards",
    )
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=80)


def main() -> None:
    """Runs both and prints a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=700)
    parser.add_argument("--largest", type=int, default=9)
    parser.add_argument("--rate", type=float, default=RATE)
    parser.add_argument("--group", type=int, default=GROUP)
    parser.add_argument("--kl", type=float, default=KL)
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    args = parser.parse_args()

    started = time.monotonic()
    asked, held = questions(args.largest)
    lm = model()
    steps = instruct(lm, asked)
    result: dict[str, Any] = {
        "questions": len(asked),
        "held_out": len(held),
        "instruction_steps": steps,
        "before": {
            "drawn": right(lm, asked, 1.0),
            "greedy": right(lm, asked),
            "greedy_held_out": right(lm, held),
        },
        "instruction_seconds": time.monotonic() - started,
    }
    print(json.dumps(result), flush=True)
    history = reinforce(lm, asked, held, args)
    result["after"] = {
        "drawn": right(lm, asked, 1.0),
        "greedy": right(lm, asked),
        "greedy_held_out": right(lm, held),
    }
    result["wrong"] = [q.text for q in asked if right(lm, [q]) < 1]
    result["steps"] = history[-1]["step"]
    result["seconds"] = time.monotonic() - started
    print(json.dumps(result))
    if args.json is not None:
        result["history"] = history
        args.json.write_text(json.dumps(result) + "\n", encoding="utf-8")
    if args.plot is not None:
        plot(history, args.plot)


if __name__ == "__main__":
    main()
