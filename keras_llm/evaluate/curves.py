"""Measures over the steps of a training."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from keras_llm.errors import InputError
from keras_llm.evaluate.finding import (
    Block,
    Measure,
    Picture,
    Table,
    Title,
    Words,
)


@dataclasses.dataclass
class Curves:
    """How measures changed while a model was trained; a `Finding`.

    Attributes:
        history: A line for each look, in order: `step`, and `measures` by
            name as in a report's `results.json`.
        title: Its heading.

    Raises:
        InputError: The history is empty.

    Example:

    >>> line = {"step": 5, "measures": {"copa/acc": {"value": 0.5}}}
    >>> Curves([line]).measures()["copa/acc"].value
    0.5
    """

    history: Sequence[Mapping[str, Any]]
    title: str = "Over the steps"

    def __post_init__(self) -> None:
        if not self.history:
            raise InputError(
                "Expected a history of at least one evaluation. Received: "
                "none. Train until the first one."
            )

    def measures(self) -> dict[str, Measure]:
        """Returns the last value of each measure."""
        return {name: points[-1][1] for name, points in self._curves().items()}

    def blocks(self) -> list[Block]:
        """Returns a picture and a table for every part's measures."""
        curves, blocks = self._curves(), list[Block]()
        steps = [line["step"] for line in self.history]
        blocks.append(
            Words(
                f"{len(steps)} evaluations, from step {steps[0]:,} to step "
                f"{steps[-1]:,}. Bars and ± are standard errors."
            )
        )
        for part in dict.fromkeys(name.split("/")[0] for name in curves):
            mine = {
                name.removeprefix(f"{part}/"): dict(points)
                for name, points in curves.items()
                if name.split("/")[0] == part
            }
            rows = [
                {"step": step}
                | {name: points.get(step) for name, points in mine.items()}
                for step in steps
            ]
            blocks += [
                Title(part),
                Picture(_figure(mine), f"{part}: measures over the steps."),
                Table(rows, f"{part} by step."),
            ]
        return blocks

    def to_dict(self) -> dict[str, Any]:
        """Returns the history."""
        return {"history": list(self.history)}

    def _curves(self) -> dict[str, list[tuple[int, Measure]]]:
        """Points of each measure, in the order of the first look."""
        curves: dict[str, list[tuple[int, Measure]]] = {}
        for line in self.history:
            for name, fields in line["measures"].items():
                value = fields["value"]
                value = math.nan if value is None else value
                measure = Measure(**{**fields, "value": value})
                curves.setdefault(name, []).append((line["step"], measure))
        return curves


def _figure(curves: Mapping[str, Mapping[int, Measure]]) -> Any:
    """A panel for each measure: their units differ."""
    from keras_llm.figures import new_figure

    columns = min(2, len(curves))
    rows = math.ceil(len(curves) / columns)
    figure = new_figure(4.5 * columns, 2.8 * rows)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in panels[len(curves) :]:
        axes.set_visible(False)
    for axes, (name, points) in zip(panels, curves.items(), strict=False):
        axes.errorbar(
            list(points),
            [one.value for one in points.values()],
            [one.error or 0.0 for one in points.values()],
            fmt="o-",
            capsize=3,
        )
        axes.set(title=name, xlabel="step")
        axes.grid(alpha=0.3)
    return figure
