"""Error analysis: which items a model fails on, and what they share."""

import math
from collections.abc import Sequence

import numpy as np

from keras_llm.errors import InputError
from keras_llm.evaluate.error_report import ErrorReport
from keras_llm.evaluate.finding import Measure
from keras_llm.evaluate.group_tests import compare_groups
from keras_llm.evaluate.grouping import EvaluatedItem, Group, item_groups
from keras_llm.evaluate.statistics import standard_error
from keras_llm.evaluate.subject import Subject


def find_mistakes(
    items: Sequence[EvaluatedItem],
    metric: str = "acc",
    higher_is_better: bool = True,
    name: str = "mistakes",
    groups: Sequence[Group] | None = None,
    subject: Subject | None = None,
    worst: int = 10,
    least: int = 20,
    seed: int = 0,
) -> ErrorReport:
    """Finds the items that a model fails on, and what they have in common.

    Every group is compared with all other items by a permutation test, and
    the p-values are corrected for the number of groups. A group that is worse
    becomes a suggestion of data to add. That is a correlation: the groups
    overlap, and a source may be worse because its texts are longer.

    Args:
        items: From an evaluation.
        metric: What their values are.
        higher_is_better: Of the values.
        name: What the report's measures begin with.
        groups: What to compare. Default: `item_groups(items)`; add
            `embedding_groups`, or groups of your own.
        subject: Asked for the loss of each token of the worst items.
        worst: How many of the worst items are shown.
        least: Fewest items of a group that is compared.
        seed: Of the permutations.

    Raises:
        InputError: There is no item, a value is not finite, or a group has
            another number of items.

    Example:

    >>> items = [EvaluatedItem("a " * n, float(n < 60)) for n in range(100)]
    >>> report = find_mistakes(items)
    >>> report.worse[0].name
    '150 to 198 characters'
    """
    values = np.array([item.value for item in items], "float64")
    _check(items, values)
    groups = item_groups(items) if groups is None else groups
    _check_groups(groups, len(items))
    sign = 1 if higher_is_better else -1
    found = compare_groups(values, groups, least=least, seed=seed)
    order = sorted(
        range(len(items)), key=lambda n: (sign * values[n], -_loss(items[n]))
    )[:worst]
    shown = [items[number] for number in order]
    texts = [item.text for item in shown]
    return ErrorReport(
        name=name,
        metric=metric,
        higher_is_better=higher_is_better,
        overall=Measure(
            float(values.mean()),
            standard_error(values),
            len(values),
            higher_is_better,
        ),
        groups=sorted(found, key=lambda group: sign * group.difference),
        worst=shown,
        numbers=order,
        scores=subject.token_scores(texts) if subject and texts else [],
    )


def _loss(item: EvaluatedItem) -> float:
    return -math.inf if item.loss is None else item.loss


def _check(items: Sequence[EvaluatedItem], values: np.ndarray) -> None:
    if not len(items):
        raise InputError(
            "Expected at least one item to look for mistakes in. Received: "
            "none. Evaluate first."
        )
    wrong = np.flatnonzero(~np.isfinite(values))
    if wrong.size:
        raise InputError(
            "Expected a finite value of every item. Received: "
            f"{values[wrong[0]]:g} of item {wrong[0]}."
        )


def _check_groups(groups: Sequence[Group], count: int) -> None:
    for group in groups:
        if group.members.shape != (count,):
            raise InputError(
                f"Expected the members of {group.name!r} to be bool of shape "
                f"({count},), one for each item. Received: shape "
                f"{group.members.shape}."
            )
