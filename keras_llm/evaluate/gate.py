"""Gates: limits on measures, and which of them a run does not keep.

A gate in a pipeline must not pass by accident: a name that is not there, a
number that is not one, or a limit on the wrong side is a mistake or a failure.
"""

import difflib
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from keras_llm.errors import InputError
from keras_llm.evaluate.finding import Measure
from keras_llm.files import read_json


class Gate(NamedTuple):
    """A limit on one measure.

    Attributes:
        metric: Its name, for example "copa/acc".
        limit: The last value that still passes.
        above: Whether values above the limit fail, instead of those below.

    Example:

    >>> Gate("copa/acc", 0.6).above
    False
    """

    metric: str
    limit: float
    above: bool = False


class Failure(NamedTuple):
    """A gate that was not kept.

    Attributes:
        gate: The limit.
        value: What was measured.

    Example:

    >>> print(Failure(Gate("copa/acc", 0.6), 0.55))
    copa/acc is 0.55 and must not be below 0.6
    """

    gate: Gate
    value: float

    def __str__(self) -> str:
        metric, limit, above = self.gate
        side = "above" if above else "below"
        return f"{metric} is {self.value:g} and must not be {side} {limit:g}"


def parse_gate(text: str, above: bool = False) -> Gate:
    """Returns the gate in `metric=value`, as the command line has it.

    Args:
        text: For example "copa/acc=0.6".
        above: Whether values above it fail.

    Raises:
        InputError: It is something else, or the value is no finite number.

    Example:

    >>> parse_gate("wikitext/bits_per_byte=1.2", above=True)
    Gate(metric='wikitext/bits_per_byte', limit=1.2, above=True)
    """
    metric, equals, limit = text.rpartition("=")
    try:
        value = float(limit)
    except ValueError:
        value = math.nan
    if not (equals and metric.strip() and math.isfinite(value)):
        raise InputError(
            "Expected a limit as metric=value, for example copa/acc=0.6. "
            f"Received: {text!r}."
        )
    return Gate(metric.strip(), value, above)


def baseline_gates(
    path: str | os.PathLike,
    metrics: Iterable[str] | None = None,
    errors: float = 1.0,
) -> list[Gate]:
    """Returns gates at the numbers of an earlier report.

    Args:
        path: Its `results.json` (see `write_report`): an object with
            `measures`, by name.
        metrics: Names. Default: all that have a better side.
        errors: How many of its standard errors a number may be worse. One
            without a standard error may not be worse at all.

    Raises:
        InputError: It is no such file, has no such measure, or a named
            measure has no better side.

    Example:

    >>> import json, tempfile
    >>> path = Path(tempfile.mkdtemp()) / "results.json"
    >>> _ = path.write_text(json.dumps({"measures": {"copa/acc":
    ...     {"value": 0.6, "error": 0.05, "higher_is_better": True}}}))
    >>> [round(gate.limit, 2) for gate in baseline_gates(path)]
    [0.55]
    """
    measures = _read_measures(Path(path))
    if metrics is None:
        metrics = [
            name
            for name, measure in measures.items()
            if measure.higher_is_better is not None
            and math.isfinite(measure.value)
        ]
    return [_gate_at(name, measures, errors, path) for name in metrics]


def check_gates(
    measures: Mapping[str, Measure], gates: Sequence[Gate]
) -> list[Failure]:
    """Returns the gates that the measures do not keep, in their order.

    A value that is not a number fails.

    Args:
        measures: By name, of all findings together.
        gates: From `parse_gate` and `baseline_gates`.

    Raises:
        InputError: A gate's measure is not there, or its limit is on the side
            on which values are better, so that it could never do its work.

    Example:

    >>> check_gates({"copa/acc": Measure(0.55)}, [Gate("copa/acc", 0.6)])
    [Failure(gate=Gate(metric='copa/acc', limit=0.6, above=False), value=0.55)]
    """
    failures = []
    for gate in gates:
        measure = _found(gate.metric, measures, "this evaluation")
        if measure.higher_is_better is gate.above:
            raise InputError(_wrong_side(gate))
        value = measure.value
        passed = value <= gate.limit if gate.above else value >= gate.limit
        if not passed:  # NaN neither passes one way nor the other
            failures.append(Failure(gate, value))
    return failures


def _gate_at(
    name: str,
    measures: Mapping[str, Measure],
    errors: float,
    path: str | os.PathLike,
) -> Gate:
    measure = _found(name, measures, str(path))
    if measure.higher_is_better is None:
        raise InputError(
            f"Expected measures of which one side is better. Received: {name}, "
            "of which neither is. Leave it out, or give it a limit of its own."
        )
    room = errors * (measure.error or 0.0)
    above = not measure.higher_is_better
    return Gate(name, measure.value + (room if above else -room), above)


def _found(name: str, measures: Mapping[str, Measure], where: str) -> Measure:
    if name in measures:
        return measures[name]
    near = difflib.get_close_matches(name, measures, n=3, cutoff=0.5)
    hint = (
        f"Did you mean {' or '.join(near)}?"
        if near
        else f"It has: {', '.join(measures) or 'none at all'}."
    )
    raise InputError(
        f"Expected a limit on a measure of {where}. Received: {name!r}, which "
        f"it does not have. {hint}"
    )


def _wrong_side(gate: Gate) -> str:
    better, side, other = (
        ("higher", "above", "below")
        if gate.above
        else ("lower", "below", "above")
    )
    return (
        f"Expected a limit on the worse side of {gate.metric}, of which "
        f"{better} is better. Received: one that fails {side} {gate.limit:g}. "
        f"Use --fail-{other} {gate.metric}={gate.limit:g}."
    )


def _read_measures(path: Path) -> dict[str, Measure]:
    if not path.is_file():
        raise InputError(
            "Expected the results.json of an earlier report as the baseline. "
            f"Received: {path}, which is no file."
        )
    found = read_json(path).get("measures")
    if not isinstance(found, dict) or not found:
        raise InputError(
            f"Expected `measures` by name in {path}, as a report's "
            f"results.json has them. Received: {found!r:.60}."
        )
    return {
        name: _measure(name, fields, path) for name, fields in found.items()
    }


def _measure(name: str, fields: object, path: Path) -> Measure:
    known = set(Measure._fields)
    if (
        not isinstance(fields, dict)
        or not {"value"} <= set(fields) <= known
        or not isinstance(fields["value"], int | float | None)
        or not isinstance(fields.get("error"), int | float | None)
    ):
        raise InputError(
            f"Expected {name} in {path} to have value, error, count and "
            f"higher_is_better. Received: {fields!r:.60}."
        )
    value = fields["value"]
    return Measure(**{**fields, "value": math.nan if value is None else value})
