"""`keras-llm finetune grpo`: rewards of answers that a model draws itself."""

import functools
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from keras_llm.cli.finetune import flavour, with_template
from keras_llm.cli.finetune_answers import JUDGE
from keras_llm.cli.finetune_kept import (
    reference_of,
    settings_of,
    spoken,
    tell,
    then,
    trainable,
)
from keras_llm.cli.finetune_run import Recipe, load, run, split
from keras_llm.cli.finetune_tasks import GrpoOptions
from keras_llm.errors import InputError

MEASURED = 64  # held-out questions that are answered before and after
SCALARS = ("group", "kl", "temperature", "max_new_tokens", "loss")


@flavour(
    GrpoOptions,
    "keras-llm finetune grpo runs/tuned --data questions.jsonl --reward number "
    "--max-new-tokens 32",
    "keras-llm finetune grpo runs/tuned --data questions.jsonl --reward "
    "checks:reward --steps 200",
)
def grpo(options: GrpoOptions) -> None:
    """Learn from rewards of answers that the model draws itself: GRPO.

    Data are JSON or JSON Lines with a prompt and what the reward wants to
    know, such as "answer". The model should earn a reward now and then.
    --batch-size counts answers, 64 unless told.
    """
    out = options.output
    if options.context_length is not None:
        raise InputError(
            "Expected --max-new-tokens to limit answers. Received: "
            f"--context-length {options.context_length}, which is for rows."
        )

    def tuned(recipe: Recipe) -> tuple[Any, Any]:
        from keras_llm import tune

        lm = with_template(load(options), options.template)
        read = functools.partial(_questions, name=options.prompt)
        questions, held = split(options, read)
        judge, what = reward_of(options.reward), trainable(options)
        settings = settings_of(options, [*questions] * options.group, 64, 1.0)
        chosen = {name: getattr(options, name) for name in SCALARS}
        reference = reference_of(options, lm) if options.kl else None
        recipe.keep(out)
        tell("grpo", options, lm, questions, held, chosen)

        def rewarded() -> dict[str, float]:
            if not held:
                return {}
            most = options.max_new_tokens
            return {
                "reward of held-out prompts": tune.mean_reward(
                    lm, held[:MEASURED], judge, max_new_tokens=most
                )
            }

        with what.on(lm.model):
            before = rewarded()
            trained = tune.grpo(
                *(lm, questions, judge),
                reference=reference,
                out=out,
                **chosen,
                **settings,
            )
        first, last = drawn(out)
        return (
            spoken("grpo", lm, trained, out, before | first, rewarded() | last),
            lm,
        )

    paths = [Path(options.reward)] if Path(options.reward).is_dir() else []
    run("grpo", options, tuned, then(out), paths)


def drawn(out: Path) -> tuple[dict[str, float], dict[str, float]]:
    """Returns the mean reward in the first and the last line of a history."""
    from keras_llm.train import read_history

    lines = read_history(out / "metrics.jsonl")
    first, last = (
        {"reward of answers drawn": line["reward"]}
        for line in (lines[0], lines[-1])
    )
    return first, last


def reward_of(text: str) -> Callable[..., float]:
    """Returns the reward that `--reward` names.

    Raises:
        InputError: It names none.

    Example:

    >>> reward_of("regex:^[0-9]$")("3 + 4", "7", {})
    1.0
    """
    from keras_llm.export.server.moderation import imported
    from keras_llm.tune import RewardModel, rewards

    if Path(text).is_dir():
        inner = Path(text) / JUDGE
        return RewardModel.load(inner if inner.is_dir() else text)
    name, _, rest = text.partition(":")
    if name in ("exact", "number"):
        return getattr(rewards, name)(rest or "answer")
    if name == "regex" and rest:
        return rewards.matches(rest)
    if not rest:
        raise InputError(
            "Expected --reward exact, number, regex:PATTERN, module:function "
            f"or the folder of a reward model. Received: {text!r}."
        )
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # where a person's module is
    return imported(text)


def _questions(path: Path, name: str) -> Iterable[Any]:
    from keras_llm.tune import read_questions

    return read_questions(path, name)
