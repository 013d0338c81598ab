"""`keras-llm finetune prefer`, `reward` and `grpo`: what answers are better."""

import functools
import importlib.util
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from keras_llm.cli.console import command
from keras_llm.cli.finetune import flavour, joint_of, with_template
from keras_llm.cli.finetune_kept import (
    measured,
    reference_of,
    report_of,
    settings_of,
    spoken,
    tell,
    then,
    trainable,
)
from keras_llm.cli.finetune_run import (
    Recipe,
    load,
    run,
    split,
)
from keras_llm.cli.finetune_tasks import (
    PreferOptions,
    RewardOptions,
)
from keras_llm.errors import check_choice

LOSSES = ("dpo", "ipo", "kto", "orpo", "simpo")
PLOT, JUDGE = "margins.png", "reward"
USE = (
    "from keras_llm.tune import RewardModel\n\n"
    'judge = RewardModel.load("FOLDER")\n'
    'print(judge.score(["A question"], ["An answer"]))'
)


@flavour(
    PreferOptions,
    "keras-llm finetune prefer runs/tuned --data pairs.jsonl --output "
    "runs/preferred",
    "keras-llm finetune prefer runs/tuned --data pairs.jsonl --config dpo-lora",
)
def prefer(options: PreferOptions) -> None:
    """Learn from pairs which of two answers is better: DPO and its kin.

    Data are JSON or JSON Lines with prompt, chosen and rejected; for kto also
    prompt, completion and label. The model should answer already: tune it
    with `finetune chat` first.
    """
    check_choice("--loss", options.loss, LOSSES)
    out = options.output

    def tuned(recipe: Recipe) -> tuple[Any, Any]:
        from keras_llm import tune

        loss = tune.Preference(
            options.loss,
            beta=options.beta,
            label_smoothing=options.label_smoothing,
        )
        lm = with_template(load(options), options.template)
        reader = tune.read_ratings if options.loss == "kto" else tune.read_pairs
        read = functools.partial(reader, joint=joint_of(lm))
        pairs, held = split(options, read)
        reference = reference_of(options, lm)
        what, settings = trainable(options), settings_of(options, pairs)
        recipe.keep(out)
        tell("prefer", options, lm, pairs, held, loss.config.to_dict())
        with what.on(lm.model):
            trained = tune.prefer(
                lm,
                pairs,
                kind=loss,
                validation=held or None,
                reference=reference,
                context_length=options.context_length,
                too_long=options.too_long,
                out=out,
                **settings,
            )
        _plot(out)
        return spoken("prefer", lm, trained, out, {}, measured(out)), lm

    run("prefer", options, tuned, then(out), _paths(options.reference))


@flavour(
    RewardOptions,
    "keras-llm finetune reward runs/tuned --data pairs.jsonl --output "
    "runs/reward",
)
def reward(options: RewardOptions) -> None:
    """Learn to score answers from pairs: a reward model (Bradley-Terry).

    Data are as for `finetune prefer`. The model is in OUTPUT/reward; it can
    be the --reward of `finetune grpo`.
    """
    out = options.output

    def tuned(recipe: Recipe) -> tuple[Any, Any]:
        from keras_llm import tune

        lm = with_template(load(options), options.template)
        read = functools.partial(tune.read_pairs, joint=joint_of(lm))
        pairs, held = split(options, read)
        what, settings = trainable(options), settings_of(options, pairs)
        recipe.keep(out)
        tell("reward", options, lm, pairs, held, {})
        with what.on(lm.model):
            judge = tune.reward(
                lm,
                pairs,
                validation=held or None,
                context_length=options.context_length,
                too_long=options.too_long,
                out=out,
                **settings,
            )
        judge.save(out / JUDGE)
        return _scored(lm, judge, out), None

    run("reward", options, tuned, [command("info", out)])


def _scored(lm: Any, judge: Any, out: Path) -> Any:
    """Writes the card of a reward model; returns the report."""
    from keras_llm.tune.kept import finish

    report = report_of(
        *("reward", judge.model, judge.report, out / JUDGE),
        *({}, measured(out)),
    )
    finish(report, lm, out, task="text-classification", use=USE)
    return report


def _plot(out: Path) -> None:
    """Draws the margins, where matplotlib is."""
    from keras_llm.train import read_history
    from keras_llm.tune import plot_preference

    if importlib.util.find_spec("matplotlib") is not None:
        plot_preference(read_history(out / "metrics.jsonl"), out / PLOT)


def _paths(*paths: Path | None) -> Iterable[Path]:
    return [path for path in paths if path is not None]
