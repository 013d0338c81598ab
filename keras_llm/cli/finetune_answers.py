"""`keras-llm finetune prefer`, `reward` and `grpo`: what answers are better."""

import functools
import importlib.util
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from keras_llm.cli.console import command
from keras_llm.cli.finetune import flavour, joint_of, with_template
from keras_llm.cli.finetune_run import (
    Recipe,
    keep_adapter,
    load,
    run,
    split,
)
from keras_llm.cli.finetune_tasks import PreferOptions
from keras_llm.cli.model import load_model
from keras_llm.errors import check_choice

LOSSES = ("dpo", "ipo", "kto", "orpo", "simpo")
RATE, LORA_RATE = 1e-5, 5e-5
PLOT = "margins.png"


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
        from keras_llm.tune.prefer import prefer as tune_on_pairs
        from keras_llm.tune.preference import Preference

        loss = Preference(
            options.loss,
            beta=options.beta,
            label_smoothing=options.label_smoothing,
        )
        lm = with_template(load(options), options.template)
        reader = tune.read_ratings if options.loss == "kto" else tune.read_pairs
        read = functools.partial(reader, joint=joint_of(lm))
        pairs, held = split(options, read)
        reference = options.reference and load_model(options.reference)
        what, settings = _trainable(options), _settings(options, pairs)
        recipe.keep(out)
        _told("prefer", options, lm, pairs, held, loss.config.to_dict())
        with what.on(lm.model):
            trained = tune_on_pairs(
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
        return _finished("prefer", lm, trained, out), lm

    then = [
        command("chat", out),
        command("export", out),
        command("serve", out),
    ]
    run("prefer", options, tuned, then, _paths(options.reference))


def _trainable(options: Any) -> Any:
    from keras_llm.tune import Trainable

    neftune = getattr(options, "neftune", None)
    return Trainable(**options.trainable(), neftune=neftune)


def _settings(options: Any, examples: list) -> dict[str, Any]:
    """Settings of `train.fit` with defaults for this many examples."""
    from keras_llm.tune.run import settings_for

    given = options.settings()
    epochs = given.pop("epochs", None)
    given.setdefault("learning_rate", LORA_RATE if options.lora else RATE)
    return settings_for(examples, _trainable(options), epochs, given)


def _told(
    kind: str,
    options: Any,
    lm: Any,
    examples: list,
    held: list,
    chosen: dict[str, Any],
) -> None:
    """Writes tuning.json."""
    from keras_llm.tune.kept import told

    told(
        *(kind, options.output, lm, _trainable(options).to_dict()),
        {"train": examples, "validation": held or None},
        chosen,
    )


def _finished(kind: str, lm: Any, trained: Any, out: Path) -> Any:
    """Saves the model with its cards; returns the report."""
    from keras_llm.adapters.frozen import count
    from keras_llm.tune.kept import LM, TuneReport, finish

    lm.save(out / LM)
    keep_adapter(lm, out)
    report = TuneReport(
        kind=kind,
        train=trained.to_dict(),
        before={},
        after=_measured(out),
        trained_parameters=trained.parameters,
        parameters=count(lm.model.weights),
        model=str(out / LM),
    )
    finish(report, lm, out)
    return report


def _measured(out: Path) -> dict[str, float]:
    """The measures on validation rows that were written last."""
    from keras_llm.train import read_history

    found: dict[str, float] = {}
    for line in read_history(out / "metrics.jsonl"):
        found |= {
            name.removeprefix("validation_"): value
            for name, value in line.items()
            if name.startswith("validation_")
        }
    return found


def _plot(out: Path) -> None:
    """Draws the margins, where matplotlib is."""
    from keras_llm.train import read_history
    from keras_llm.tune.prefer import plot_preference

    if importlib.util.find_spec("matplotlib") is not None:
        plot_preference(read_history(out / "metrics.jsonl"), out / PLOT)


def _paths(*paths: Path | None) -> Iterable[Path]:
    return [path for path in paths if path is not None]
