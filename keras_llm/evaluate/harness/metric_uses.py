"""The metrics that a task asks for, checked before anything is computed."""

import dataclasses
import difflib
import functools
import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any

from keras_llm.errors import InputError
from keras_llm.evaluate.harness.aggregation import AGGREGATIONS, Aggregation
from keras_llm.evaluate.harness.filters import Step, apply
from keras_llm.evaluate.harness.items import Item
from keras_llm.evaluate.harness.scoring import METRICS, USUAL, Answer, Metric
from keras_llm.evaluate.harness.task import (
    GENERATE,
    LIKELIHOOD,
    Task,
)
from keras_llm.evaluate.subject import Likelihood

_SETTINGS = ("metric", "aggregation", "higher_is_better")


@dataclasses.dataclass(frozen=True)
class MetricUse:
    """A metric as one task uses it.

    Attributes:
        name: The metric's.
        metric: Its entry in `METRICS`.
        score: From an `Answer` to its value, options filled in.
        aggregate: From all values to a number and its standard error.
        higher_is_better: None where neither is.

    Example:

    >>> metric_uses(Task(task="a"))[0].name
    'exact_match'
    """

    name: str
    metric: Metric
    score: Callable[[Answer], Any]
    aggregate: Aggregation
    higher_is_better: bool | None


def metric_uses(task: Task, allow_code: bool = False) -> list[MetricUse]:
    """Returns the metrics of a task.

    Args:
        task: The task.
        allow_code: Whether generated programs may be run.

    Raises:
        InputError: A metric, aggregation or option is unknown or of another
            output type; or programs would be run and may not be.

    Example:

    >>> task = Task(task="a", metric_list=[{"metric": "bleu"}])
    >>> [use.higher_is_better for use in metric_uses(task)]
    [True]
    """
    usual = [{"metric": name} for name in USUAL[task.output_type]]
    listed = task.metric_list or usual
    uses = [_use(entry, task, allow_code) for entry in listed]
    names = [use.name for use in uses]
    if len(set(names)) < len(names):
        raise InputError(
            f"Expected each metric once in task {task.task}. Received: "
            f"{', '.join(names)}."
        )
    if task.unsafe_code and not allow_code:
        raise _code(task)
    return uses


def check_uses(
    uses: Sequence[MetricUse],
    chains: dict[str, list[Step]],
    task: Task,
    items: Sequence[Item],
) -> None:
    """Tries filters and metrics on what no model said, and counts answers.

    So that a pattern that is wrong, a package that is missing or an answer
    that is missing shows now, not after hours of computing.

    Raises:
        InputError: One of these.

    Example:

    >>> task = Task(task="a")
    >>> check_uses(metric_uses(task), {"none": []}, task,
    ...     [Item(0, {}, "1", ["1"], [], [])])
    """
    for use in uses:
        for item in items:
            _check_golds(use.metric, item, f"{use.name} of task {task.task}")
    for steps in chains.values():
        trial = _trial(items[0], task, steps)
        for use in uses:
            several = isinstance(trial.response, list)
            if several and use.metric.takes_several:
                continue
            try:
                use.aggregate([use.score(trial)], 0, 0)
            except re.error as error:
                raise InputError(
                    f"Expected regular expressions in {use.name} of task "
                    f"{task.task}. Received: {error.pattern!r}, and {error}."
                ) from error


def _trial(item: Item, task: Task, steps: list[Step]) -> Answer:
    """An answer that says nothing; its last choice is the likeliest."""
    count = 1 if task.output_type == LIKELIHOOD else len(item.choices)
    ranks = [Likelihood(float(n), False) for n in range(count)]
    response: Any = -1.0
    if task.output_type == GENERATE:
        response = apply(steps, [""] * task.repeats, item.doc)
    return Answer(item.doc, item.golds, item.choices, ranks, ranks, response)


def _use(entry: dict[str, Any], task: Task, allow_code: bool) -> MetricUse:
    name = entry.get("metric")
    where = f"metric_list of task {task.task}"
    metric = METRICS.get(str(name))
    if metric is None:
        near = difflib.get_close_matches(str(name), METRICS, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise InputError(
            f"Expected metrics of {where} among {', '.join(METRICS)}. "
            f"Received: {name!r}.{hint}"
        )
    score = metric.score.get(task.output_type)
    if score is None:
        fitting = [m for m in METRICS if task.output_type in METRICS[m].score]
        raise InputError(
            f"Expected a metric for {task.output_type} in {where}: "
            f"{', '.join(fitting)}. Received: {name}, which is for "
            f"{', '.join(metric.score)}."
        )
    if metric.runs_code and not allow_code:
        raise _code(task)
    aggregation = entry.get("aggregation", metric.aggregation)
    if aggregation not in AGGREGATIONS:
        raise InputError(
            f"Expected aggregation in {where} to be one of "
            f"{', '.join(AGGREGATIONS)}. Received: {aggregation!r}."
        )
    return MetricUse(
        str(name),
        metric,
        _with_options(score, entry, metric, where),
        AGGREGATIONS[aggregation],
        entry.get("higher_is_better", metric.higher_is_better),
    )


def _with_options(
    score: Callable, entry: dict[str, Any], metric: Metric, where: str
) -> Callable[[Answer], Any]:
    options = {key: entry[key] for key in entry if key not in _SETTINGS}
    if metric.runs_code:
        options["allow_code"] = True
    known = list(inspect.signature(score).parameters)[1:]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise InputError(
            f"Expected only {', '.join([*_SETTINGS, *known])} for "
            f"{entry['metric']} in {where}. Received: {', '.join(unknown)}."
        )
    return functools.partial(score, **options) if options else score


def _check_golds(metric: Metric, item: Item, what: str) -> None:
    found, most = len(item.golds), metric.most_golds
    if found < metric.least_golds or (most is not None and found > most):
        limit = f"at most {most}" if most is not None and found > most else ""
        raise InputError(
            f"Expected {limit or f'at least {metric.least_golds}'} right "
            f"answers for {what}. Received: {found} in document {item.number}."
        )


def _code(task: Task) -> InputError:
    return InputError(
        f"Expected leave to run the programs that the model writes for task "
        f"{task.task}. Received: none. Read about the sandbox and its limits "
        "in docs/benchmarks.md, then pass allow_code=True."
    )
