"""What the flavours of `keras-llm finetune` set up and keep alike."""

from pathlib import Path
from typing import Any

from keras_llm.cli.console import command
from keras_llm.cli.finetune_run import keep_adapter
from keras_llm.cli.model import load_model

RATE, LORA_RATE = 1e-5, 5e-5  # of preferences and rewards


def trainable(options: Any) -> Any:
    """Returns the `tune.Trainable` that options ask for."""
    from keras_llm.tune import Trainable

    neftune = getattr(options, "neftune", None)
    return Trainable(**options.trainable(), neftune=neftune)


def settings_of(
    options: Any, examples: list, batch_size: int = 8, often: float = 3.0
) -> dict[str, Any]:
    """Settings of `train.fit` with defaults for this many examples."""
    from keras_llm.tune.run import settings_for

    given = {"batch_size": batch_size, **options.settings()}
    epochs = given.pop("epochs", None)
    if epochs is None and not {"steps", "minutes"} & set(given):
        epochs = often
    given.setdefault("learning_rate", LORA_RATE if options.lora else RATE)
    return settings_for(examples, trainable(options), epochs, given)


def reference_of(options: Any, lm: Any) -> Any:
    """Returns the decoder to keep to, or None for the usual one.

    A model whose adapter goes on learning keeps to what it is now, not to
    the base below the adapter.

    Args:
        options: `lora`, and `reference` where there is one.
        lm: The `CausalLM`, before it is tuned.
    """
    from keras_llm.adapters import adapter_names, merged_copy

    path = getattr(options, "reference", None)
    if path is not None:
        return merged_copy(load_model(path).model)
    goes_on = adapter_names(lm.model) and not options.lora
    return merged_copy(lm.model) if goes_on else None


def tell(
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
        *(kind, options.output, lm, trainable(options).to_dict()),
        {"train": examples, "validation": held or None},
        chosen,
    )


def spoken(
    kind: str,
    lm: Any,
    trained: Any,
    out: Path,
    before: dict[str, float],
    after: dict[str, float],
) -> Any:
    """Saves the model with its cards; returns the report."""
    from keras_llm.tune.kept import LM, finish

    lm.save(out / LM)
    keep_adapter(lm, out)
    report = report_of(
        kind, lm.model, trained.to_dict(), out / LM, before, after
    )
    finish(report, lm, out)
    return report


def report_of(
    kind: str,
    model: Any,
    trained: dict[str, Any],
    folder: Path,
    before: dict[str, float],
    after: dict[str, float],
) -> Any:
    """Returns the `TuneReport` of what was trained."""
    from keras_llm.adapters.frozen import count
    from keras_llm.tune import TuneReport

    return TuneReport(
        kind=kind,
        train=trained,
        before=before,
        after=after,
        trained_parameters=trained["parameters"],
        parameters=count(model.weights),
        model=str(folder),
    )


def measured(out: Path) -> dict[str, float]:
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


def then(out: Path) -> list[str]:
    """Returns what is worth doing with a model that answers."""
    return [
        command("chat", out),
        command("export", out),
        command("serve", out),
    ]
