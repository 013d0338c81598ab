"""One way to tune: set up what trains, measure, `train.fit`, measure, save."""

import dataclasses
import math
import platform
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import keras_llm
from keras_llm.adapters.frozen import count
from keras_llm.card import write_card
from keras_llm.errors import InputError
from keras_llm.records import Record
from keras_llm.train import Objective, TrainReport, fit
from keras_llm.train.scoring import score_rows
from keras_llm.tune.trainable import Trainable

LM, TUNING, REPORT = "lm", "tuning.json", "tuning_report.json"
RATE, LORA_RATE = 1e-4, 5e-4
LINES = 40  # of the history, about
PACKAGES = ("keras_llm", "tensorflow", "keras", "numpy")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TuneReport(Record):
    """What a tuning came to.

    Args:
        kind: What was tuned for: "text", "chat", "prefer", ...
        train: The fields of the `TrainReport`.
        before, after: Measures by name, of the model before and after.
        trained_parameters: How many numbers were trained, of `parameters`.
        model: The folder of the tuned `CausalLM`, or None.

    Example:

    >>> report = TuneReport(kind="text", train={}, before={"loss": 2.0},
    ...     after={"loss": 1.5}, trained_parameters=1, parameters=2)
    >>> print(report.table())
    | measure | before | after |
    | --- | --- | --- |
    | loss | 2.0000 | 1.5000 |
    """

    kind: str
    train: dict[str, Any]
    before: dict[str, float]
    after: dict[str, float]
    trained_parameters: int
    parameters: int
    model: str | None = None

    def table(self) -> str:
        """Returns the measures as a Markdown table."""
        lines = ["| measure | before | after |", "| --- | --- | --- |"]
        lines += [
            f"| {name} | {value:.4f} | {self.after[name]:.4f} |"
            for name, value in self.before.items()
        ]
        return "\n".join(lines)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tuning(Record):
    """What a tuning was told, kept beside its run as `tuning.json`.

    Args:
        kind: What is tuned for.
        trainable: The fields of a `Trainable`.
        options: Other choices of this kind, as JSON can hold them.
        data: Fingerprints of the rows by name, and their numbers.
        tokenizer: Fingerprint of the tokenizer.
        environment: Versions of Python and of the packages.

    Example:

    >>> Tuning(kind="text", trainable={}, data={}, tokenizer="t").kind
    'text'
    """

    kind: str
    trainable: dict[str, Any]
    data: dict[str, Any]
    tokenizer: str
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    environment: dict[str, str] = dataclasses.field(
        default_factory=lambda: environment()
    )


def environment() -> dict[str, str]:
    """Returns the versions of Python, the system and the packages.

    Example:

    >>> sorted(environment())[-1]
    'tensorflow'
    """
    found = {"python": platform.python_version()}
    found["system"] = platform.platform()
    for name in PACKAGES:
        version = (
            keras_llm.__version__ if name == "keras_llm" else _version(name)
        )
        found[name] = version
    return found


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

    Example: see `tune.text`.
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
            tuning = Tuning(
                kind=kind,
                trainable=what.to_dict(),
                options=dict(options or {}),
                data=_described(train=rows, validation=validation),
                tokenizer=lm.tokenizer.fingerprint,
            )
            _keep(tuning, Path(out))
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
        _save(lm, report, Path(out))
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


def _described(**rows: Any) -> dict[str, Any]:
    """Rows by name: their number and their fingerprint."""
    return {
        name: {
            "rows": len(one) if hasattr(one, "__len__") else None,
            "fingerprint": getattr(one, "fingerprint", None),
        }
        for name, one in rows.items()
        if one is not None
    }


def _keep(tuning: Tuning, out: Path) -> None:
    """Writes what the run was told, or checks that it is the same."""
    path = out / TUNING
    if not path.exists():
        out.mkdir(parents=True, exist_ok=True)
        return tuning.save(path)
    was, now = Tuning.load(path).to_dict(), _plain(tuning)
    changed = [
        f"{name} was {was[name]!r} and is {now[name]!r}"
        for name in ("kind", "trainable", "options", "data", "tokenizer")
        if was[name] != now[name]
    ]
    if changed:
        raise InputError(
            f"Expected the tuning that {out} was started with. Received: "
            f"{'; '.join(changed)}. Use the same choices and data to continue,"
            " or another folder to start anew."
        )


def _plain(record: Record) -> dict[str, Any]:
    """A record as JSON would give it back."""
    import json

    return json.loads(json.dumps(record.to_dict()))


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


def _save(lm: Any, report: TuneReport, out: Path) -> None:
    """The model with its card, then the report."""
    lm.save(out / LM)
    tuning = Tuning.load(out / TUNING)
    measures = {
        f"{name}, {when}": value
        for when, values in (("before", report.before), ("after", report.after))
        for name, value in values.items()
    }
    data = {
        f"{name} {key}": value
        for name, facts in tuning.data.items()
        for key, value in facts.items()
    }
    write_card(
        out / LM,
        lm.config,
        tokenizer=lm.tokenizer.fingerprint,
        data=data | {"tuned for": report.kind},
        evaluation=measures,
        license=lm.origin.license,
        base_model=lm.origin.repo,
    )
    report.save(out / REPORT)


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"  # tensorflow-cpu has another name
