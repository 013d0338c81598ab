"""One way to tune: set up what trains, measure, `train.fit`, measure, save."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from keras_llm.adapters.frozen import count
from keras_llm.errors import InputError
from keras_llm.train import Objective, TrainReport, fit
from keras_llm.train.scoring import score_rows
from keras_llm.tune.kept import LM, TuneReport, finish, told
from keras_llm.tune.trainable import Trainable

RATE, LORA_RATE = 1e-4, 5e-4
LINES = 40  # of the history, about


def tune_on(
    lm: Any,
    rows: Any,
    *,
    kind: str,
    objective: Objective | None = None,
    validation: Any = None,
    trainable: Trainable | Mapping[str, Any] | None = None,
    measure: Callable[[Any], dict[str, float]] | None = None,
    out: Any = None,
    options: Mapping[str, Any] | None = None,
    epochs: float | None = None,
    **settings: Any,
) -> TuneReport:
    """Tunes a `CausalLM` in place on rows, for any objective.

    The functions for a task (`tune.text`, `tune.chat`, ...) make the rows and
    call this. Called again with the same arguments and `out`, a stopped run
    goes on; a finished one returns its report.

    Args:
        lm: A `CausalLM`; its weights change, or get an adapter.
        rows: Rows for `train.fit`.
        kind: A word for the report.
        objective: What is minimized. Default: the next token.
        validation: Rows that are measured before, during and after.
        trainable: What trains, a `Trainable` or its fields. Default: all.
        measure: Takes the `CausalLM`, returns measures by name, for before
            and after. Default: the metrics on `validation`.
        out: Folder of the run; with it everything is kept: `lm/` (the tuned
            model), `tuning.json`, `tuning_report.json`, and what `train.fit`
            writes.
        options: What else was chosen, for `tuning.json`.
        epochs: How often the rows are seen. Default: 3, unless `steps` or
            `minutes` is given.
        **settings: Fields of `TrainConfig` and arguments of `train.fit`.
            `learning_rate` defaults to 1e-4, with a new adapter to 5e-4;
            `weight_decay` to 0, `batch_size` to 8; a line of the history is
            written about forty times, and the run is validated, sampled and
            saved once an epoch.

    Returns:
        A `TuneReport`.

    Raises:
        InputError: A choice or setting does not fit, or the data do not.

    Example:

    >>> from keras_llm import CausalLM, DecoderConfig, build_decoder
    >>> from keras_llm.tokenizers import BytePairTokenizer
    >>> from keras_llm.tune import text_rows_of
    >>> lm = CausalLM(build_decoder(DecoderConfig(
    ...     vocabulary_size=264, context_length=16, num_layers=1,
    ...     hidden_dim=8, num_heads=2)), BytePairTokenizer.train(["a"], 264))
    >>> rows = text_rows_of(["a rose is a rose"] * 8, lm.tokenizer, 16)
    >>> report = tune_on(lm, rows, kind="text", epochs=1, batch_size=4,
    ...     trainable={"lora": {"rank": 1}})
    >>> report.trained_parameters < report.parameters
    True
    """
    what = trainable or Trainable()
    if not isinstance(what, Trainable):
        what = Trainable.from_dict(dict(what))
    chosen = settings_for(rows, what, epochs, settings)

    def measured() -> dict[str, float]:
        if measure is not None:
            return measure(lm)
        if validation is None:
            return {}
        return score_rows(lm.model, validation, objective, chosen["batch_size"])

    with what.on(lm.model):
        before = measured()
        if out is not None:
            told(
                *(kind, out, lm, what.to_dict()),
                {"train": rows, "validation": validation},
                options,
            )
        trained = fit(
            lm.model,
            rows,
            out=out,
            validation_rows=validation,
            tokenizer=lm.tokenizer,
            objective=objective,
            **chosen,
        )
    report = _reported(lm, kind, trained, before, measured(), out)
    if out is not None:
        lm.save(Path(out) / LM)
        finish(report, lm, out)
    return report


def settings_for(
    rows: Any, what: Trainable, epochs: float | None, given: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns the settings of `fit` with defaults that suit a tuning.

    Raises:
        InputError: Epochs are given beside steps or minutes, or are not
            above zero.

    Example:

    >>> settings_for([0] * 80, Trainable(), 2, {})["steps"]
    20
    """
    timed = given.get("steps") or given.get("minutes")
    if epochs is not None and (timed or not epochs > 0):
        raise InputError(
            "Expected one of epochs (above zero), steps and minutes. "
            f"Received: epochs={epochs}, steps={given.get('steps')}, "
            f"minutes={given.get('minutes')}."
        )
    chosen: dict[str, Any] = {
        "batch_size": 8,
        "weight_decay": 0.0,
        "learning_rate": RATE if what.lora is None else LORA_RATE,
        **given,
    }
    size = chosen["batch_size"]
    if hasattr(rows, "__len__"):
        chosen["batch_size"] = size = min(size, max(len(rows), 1))
        once = len(rows) / size
        if not timed:
            chosen["steps"] = max(1, math.ceil((epochs or 3) * once))
        steps = chosen.get("steps") or math.ceil(10 * once)
        every = max(1, min(steps // LINES, math.ceil(once)))
        epoch = max(1, round(once / every)) * every
        chosen = {"log_every": every} | chosen
        every = chosen["log_every"]
        epoch = max(1, round(epoch / every)) * every
        names = ("validate_every", "checkpoint_every", "sample_every")
        chosen = dict.fromkeys(names, epoch) | chosen
    return chosen


def _reported(
    lm: Any,
    kind: str,
    trained: TrainReport,
    before: dict[str, float],
    after: dict[str, float],
    out: Any,
) -> TuneReport:
    return TuneReport(
        kind=kind,
        train=trained.to_dict(),
        before=before,
        after=after,
        trained_parameters=trained.parameters,
        parameters=count(lm.model.weights),
        model=None if out is None else str(Path(out) / LM),
    )
