"""What a tuning leaves: what it was told, what came out, and a card."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from keras_llm.card import write_card
from keras_llm.errors import InputError
from keras_llm.evaluate.provenance import environment
from keras_llm.records import Record
from keras_llm.train.folder import PLAN

LM, TUNING, REPORT = "lm", "tuning.json", "tuning_report.json"
SAME = ("kind", "trainable", "options", "data", "tokenizer")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TuneReport(Record):
    """What a tuning came to.

    Args:
        kind: What was tuned for: "text", "chat", "prefer", ...
        train: The fields of the `TrainReport`.
        before, after: Measures by name, of the model before and after. What
            a model cannot have before, such as a classifier's accuracy, is
            in `after` alone.
        trained_parameters: How many numbers were trained, of `parameters`.
        model: The folder of what was tuned, or None.

    Example:

    >>> report = TuneReport(kind="text", train={}, before={"loss": 2.0},
    ...     after={"loss": 1.5, "accuracy": 0.5}, trained_parameters=1,
    ...     parameters=2)
    >>> print(report.table())
    | measure | before | after |
    | --- | --- | --- |
    | loss | 2.0000 | 1.5000 |
    | accuracy |  | 0.5000 |
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
        for name in {**self.before, **self.after}:
            cells = [
                f"{values[name]:.4f}" if name in values else ""
                for values in (self.before, self.after)
            ]
            lines.append(f"| {name} | {' | '.join(cells)} |")
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

    def keep(self, out: Path) -> None:
        """Writes the record, or checks that an earlier one is the same.

        A run that never began may be told something else.

        Args:
            out: The run's folder.

        Raises:
            InputError: The folder's run was told something else.
        """
        path = out / TUNING
        if not path.exists() or not (out / PLAN).exists():
            out.mkdir(parents=True, exist_ok=True)
            return self.save(path)
        was = Tuning.load(path).to_dict()
        now = json.loads(json.dumps(self.to_dict()))
        changed = [
            f"{name} was {was[name]!r} and is {now[name]!r}"
            for name in SAME
            if was[name] != now[name]
        ]
        if changed:
            raise InputError(
                f"Expected the tuning that {out} was started with. Received: "
                f"{'; '.join(changed)}. Use the same choices and data to "
                "continue, or another folder to start anew."
            )


def described(**data: Any) -> dict[str, Any]:
    """Returns the numbers and fingerprints of rows or examples, by name.

    Args:
        **data: Rows with a `fingerprint`, or lists of records of
            `keras_llm.tune`; None is left out.

    Example:

    >>> from keras_llm.tune import Labelled
    >>> found = described(train=[Labelled("Hi", ("ham",))], validation=None)
    >>> found["train"]["rows"], len(found["train"]["fingerprint"])
    (1, 64)
    """
    return {
        name: {
            "rows": len(one) if hasattr(one, "__len__") else None,
            "fingerprint": _fingerprint(one),
        }
        for name, one in data.items()
        if one is not None
    }


def told(
    kind: str,
    out: str | os.PathLike,
    lm: Any,
    trainable: Mapping[str, Any],
    data: Mapping[str, Any],
    options: Mapping[str, Any] | None = None,
) -> None:
    """Keeps what a tuning is told in its folder; see `Tuning.keep`.

    Args:
        kind: What is tuned for.
        out: The run's folder.
        lm: The `CausalLM` that is tuned.
        trainable: The fields of a `Trainable`.
        data: Rows or examples by name (see `described`).
        options: Other choices of this kind.

    Raises:
        InputError: The folder's run was told something else.

    Example: see `keras_llm.tune.tune_on`.
    """
    Tuning(
        kind=kind,
        trainable=dict(trainable),
        options=dict(options or {}),
        data=described(**data),
        tokenizer=lm.tokenizer.fingerprint,
    ).keep(Path(out))


def finish(
    report: TuneReport,
    lm: Any,
    out: str | os.PathLike,
    **said: Any,
) -> None:
    """Writes the card and then the report of a finished tuning.

    Args:
        report: What came of it; its `model` names a folder in `out`.
        lm: The `CausalLM` that was tuned, for its config and origin.
        out: The run's folder, with `tuning.json`.
        **said: More fields of the `Card`.

    Raises:
        InputError: A record of the run is missing or damaged.
        OSError: The disk is full.

    Example: see `keras_llm.tune.tune_on`.
    """
    out = Path(out)
    tuning = Tuning.load(out / TUNING)
    measures = {
        f"{name}, {when}": value
        for when, values in (("before", report.before), ("after", report.after))
        for name, value in values.items()
    }
    facts = {
        f"{name} {key}": value
        for name, of_rows in tuning.data.items()
        for key, value in of_rows.items()
    }
    model = Path(report.model or out / LM)
    for folder in (out, *([model] if model.name == LM else [])):
        write_card(
            folder,
            lm.config,
            model,
            **{
                "tokenizer": tuning.tokenizer,
                "data": {"tuned for": report.kind, **facts},
                "evaluation": measures,
                "environment": tuning.environment,
                "license": lm.origin.license,
                "base_model": lm.origin.repo,
                **said,
            },
        )
    report.save(out / REPORT)


def _fingerprint(one: Any) -> str | None:
    if not isinstance(one, list | tuple):
        return getattr(one, "fingerprint", None)
    return _hash(_content(example) for example in one)


def _hash(texts: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode() + b"\n")
    return digest.hexdigest()


def _content(example: Any) -> str:
    """An example as JSON, without the place that it came from."""
    if not dataclasses.is_dataclass(example):
        return json.dumps(example)
    fields: Mapping[str, Any] = vars(example)
    return json.dumps(
        {k: v for k, v in fields.items() if k not in ("line", "where")}
    )
