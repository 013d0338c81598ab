"""One number for a group of tasks."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from keras_llm.errors import InputError
from keras_llm.evaluate.harness.outcome import NO_ERROR
from keras_llm.evaluate.harness.task import TaskGroup
from keras_llm.evaluate.harness.task_files import Selection

_FIELDS = {"metric", "filter_list", "aggregation", "weight_by_size"}


def check_groups(
    selection: Selection, keys: Mapping[str, Iterable[str]]
) -> None:
    """Makes sure that all groups can be averaged, before anything is computed.

    Args:
        selection: The groups.
        keys: For each task its `metric,filter`.

    Raises:
        InputError: A field of `aggregate_metric_list` is unknown or wrong, or
            no task of the group has the metric.

    Example:

    >>> group = TaskGroup(group="both", task=["a", "b"])
    >>> check_groups(Selection({}, {"both": group}, {"both": ["a"]}), {"a": []})
    """
    for name, group in selection.groups.items():
        there = [key for task in leaves(selection, name) for key in keys[task]]
        for entry in _entries(group):
            _keys(group, entry, there)


def group_results(
    selection: Selection, results: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Returns the numbers of all groups that have any.

    Args:
        selection: The groups.
        results: Of each task.

    Raises:
        InputError: As `check_groups`.

    Source: `Group.aggregate` of the lm-evaluation-harness 0.4.13.

    Example:

    >>> group = TaskGroup(group="both", task=["a", "b"],
    ...     aggregate_metric_list={"metric": "acc"})
    >>> selection = Selection({}, {"both": group}, {"both": ["a", "b"]})
    >>> part = {"acc,none": 1.0, "acc_stderr,none": 0.1, "sample_len": 3}
    >>> other = {"acc,none": 0.0, "acc_stderr,none": 0.1, "sample_len": 1}
    >>> group_results(selection, {"a": part, "b": other})["both"]["acc,none"]
    0.75
    """
    made = {}
    for name, group in selection.groups.items():
        parts = [results[task] for task in leaves(selection, name)]
        if _entries(group):
            made[name] = _averaged(group, parts)
    return made


def leaves(selection: Selection, name: str) -> list[str]:
    """Returns the tasks of a group and of the groups in it, each once.

    Example:

    >>> leaves(Selection({}, {}, {"a": ["b", "c"], "b": ["d"]}), "a")
    ['d', 'c']
    """
    if name not in selection.members:
        return [name]
    found = [
        task
        for member in selection.members[name]
        for task in leaves(selection, member)
    ]
    return list(dict.fromkeys(found))


def _entries(group: TaskGroup) -> list[dict[str, Any]]:
    """How a group is averaged, a dictionary for each metric."""
    listed = group.aggregate_metric_list or []
    listed = [listed] if isinstance(listed, dict) else listed
    for entry in listed:
        where = f"aggregate_metric_list of group {group.group}"
        if not isinstance(entry, dict) or "metric" not in entry:
            raise InputError(
                f"Expected a metric in each part of {where}. Received: "
                f"{entry!r:.60}."
            )
        unknown = sorted(set(entry) - _FIELDS)
        if unknown or entry.get("aggregation", "mean") != "mean":
            raise InputError(
                f"Expected only {', '.join(sorted(_FIELDS))} in {where}, and "
                f"the aggregation mean. Received: {entry!r:.80}."
            )
    return listed


def _keys(
    group: TaskGroup, entry: dict[str, Any], there: Iterable[str]
) -> list[str]:
    """Those of the tasks' `metric,filter` that are averaged."""
    chains = entry.get("filter_list")
    chains = [chains] if isinstance(chains, str) else chains
    found = sorted(
        key
        for metric, _, chain in (key.partition(",") for key in set(there))
        if metric == entry["metric"] and (chains is None or chain in chains)
        for key in [f"{metric},{chain}"]
    )
    if not found:
        raise InputError(
            f"Expected a task of group {group.group} to have "
            f"{entry['metric']} with the filters {chains or 'that it has'}. "
            "Received: none. Correct aggregate_metric_list."
        )
    return found


def _averaged(
    group: TaskGroup, parts: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    made: dict[str, Any] = {
        "name": group.group,
        "alias": group.group_alias or group.group,
        "sample_len": sum(part["sample_len"] for part in parts),
    }
    there = [key for part in parts for key in part if "," in key]
    for entry in _entries(group):
        weighted = entry.get("weight_by_size", True)
        for key in _keys(group, entry, there):
            value, error = _mean(key, parts, weighted)
            made[key] = value
            made[key.replace(",", "_stderr,", 1)] = error
    return made


def _mean(
    key: str, parts: Sequence[Mapping[str, Any]], weighted: bool
) -> tuple[float, float | str]:
    having = [part for part in parts if key in part]
    sizes = [part["sample_len"] for part in having]
    weights = sizes if weighted else [1] * len(having)
    total = sum(weights)
    value = sum(
        part[key] * weight for part, weight in zip(having, weights, strict=True)
    )
    errors = [part[key.replace(",", "_stderr,", 1)] for part in having]
    if NO_ERROR in errors:
        return value / total, NO_ERROR
    if not weighted:
        return value / total, math.hypot(*errors) / len(errors)
    # https://en.wikipedia.org/wiki/Pooled_variance, as in the harness
    pooled = sum(
        (size - 1) * size * error**2
        for size, error in zip(sizes, errors, strict=True)
    )
    return value / total, math.sqrt(pooled / (total - len(sizes)) / total)
