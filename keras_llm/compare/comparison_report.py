"""Models beside each other, as a section of a report."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from keras_llm.compare.pairs import Difference
from keras_llm.evaluate.finding import Block, Measure, Picture, Table, Words
from keras_llm.evaluate.harness.results import BenchmarkReport
from keras_llm.figures import new_figure

_95 = 1.959964  # half a 95 % interval, in standard errors
_MOST = 12  # metrics in a picture


@dataclasses.dataclass(frozen=True)
class ComparisonReport:
    """Several models on the same items: a `Finding`.

    Attributes:
        models: Fingerprints by name, in the order of the models.
        scores: By model, its metrics by name.
        differences: Every pair of models on every metric that can be compared
            item by item.
        prompts: What the models were asked to continue.
        answers: By model, what it answered: what a judge may judge.
        benchmarks: By model, the report of its benchmarks.

    Example:

    >>> report = ComparisonReport({"a": "1", "b": "2"},
    ...     {"a": {"copa/acc": Measure(0.5)}, "b": {"copa/acc": Measure(0.6)}},
    ...     [], [], {"a": [], "b": []}, {})
    >>> report.measures()["copa/acc@b"].value
    0.6
    """

    models: Mapping[str, str]
    scores: Mapping[str, Mapping[str, Measure]]
    differences: Sequence[Difference]
    prompts: Sequence[str]
    answers: Mapping[str, Sequence[str]]
    benchmarks: Mapping[str, BenchmarkReport]

    @property
    def title(self) -> str:
        """The heading of its section."""
        return f"Comparison of {' and '.join(self.models)}"

    def measures(self) -> dict[str, Measure]:
        """Returns each model's metrics, and how much better one is.

        They are called `metric@model`, and `metric@model-model` for the lead
        of the first over the second: above zero the first is better, whatever
        the metric.
        """
        found = {
            f"{metric}@{model}": measure
            for model, metrics in self.scores.items()
            for metric, measure in metrics.items()
        }
        for one in self.differences:
            low, high = one.lead.interval
            found[f"{one.metric}@{one.a}-{one.b}"] = Measure(
                one.lead.difference,
                (high - low) / 2 / _95,
                one.lead.wins + one.lead.ties + one.lead.losses,
            )
        return found

    def verdicts(self) -> list[str]:
        """Returns a sentence for every pair and metric, differences first."""
        ordered = sorted(self.differences, key=lambda one: not one.shown)
        return [str(one) for one in ordered]

    def blocks(self) -> list[Block]:
        """Returns what a reader sees."""
        blocks: list[Block] = [Words(self._summary())]
        blocks += [Words(str(one)) for one in self.differences if one.shown]
        blocks.append(Table(self._score_rows(), "Value ± standard error."))
        if self.differences:
            caption = (
                "How much better the first model of a pair is, with its 95 % "
                "interval; wins are items where it is better."
            )
            blocks.append(Table(self._pair_rows(), caption))
            blocks += [*self._scores_pictures(), self._leads_picture()]
        return blocks

    def to_dict(self) -> dict[str, Any]:
        """Returns everything as plain values, for JSON."""
        return {
            "models": dict(self.models),
            "scores": {
                model: {name: m._asdict() for name, m in metrics.items()}
                for model, metrics in self.scores.items()
            },
            "differences": [
                {
                    "metric": one.metric,
                    "a": one.a,
                    "b": one.b,
                    "verdict": str(one),
                    "p_holm": one.p_value,
                    **one.lead._asdict(),
                    "interval": list(one.lead.interval),
                }
                for one in self.differences
            ],
            "prompts": list(self.prompts),
            "answers": {name: list(a) for name, a in self.answers.items()},
            "benchmarks": {
                name: report.to_dict()
                for name, report in self.benchmarks.items()
            },
        }

    @property
    def _metrics(self) -> list[str]:
        """All names of metrics, in the order of the first that has one."""
        names = (name for metrics in self.scores.values() for name in metrics)
        return list(dict.fromkeys(names))

    @property
    def _compared(self) -> list[str]:
        return list(dict.fromkeys(one.metric for one in self.differences))

    def _summary(self) -> str:
        shown = sum(one.shown for one in self.differences)
        words = (
            f"{len(self.models)} models on the same items. "
            f"{shown} of {len(self.differences)} differences are shown beyond "
            "chance (p < 0.05, corrected for all pairs and metrics by Holm's "
            "rule)."
        )
        alone = [name for name in self._metrics if name not in self._compared]
        if alone:
            words += (
                " Only listed, since they are no mean over items or say the "
                f"same as another: {', '.join(alone)}."
            )
        return words

    def _score_rows(self) -> list[dict[str, Any]]:
        return [
            {
                "metric": metric,
                **{
                    model: metrics.get(metric)
                    for model, metrics in self.scores.items()
                },
                "better": _side(metric, self.scores),
            }
            for metric in self._metrics
        ]

    def _pair_rows(self) -> list[dict[str, Any]]:
        return [
            {
                "metric": one.metric,
                "model": one.a,
                "against": one.b,
                "better by": one.lead.difference,
                "from": one.lead.interval.low,
                "to": one.lead.interval.high,
                "wins": one.lead.wins,
                "ties": one.lead.ties,
                "losses": one.lead.losses,
                "p": one.lead.p_value,
                "p (Holm)": one.p_value,
            }
            for one in self.differences
        ]

    def _scores_pictures(self) -> Iterator[Picture]:
        """Bars of the metrics that are compared and listed, if any are."""
        metrics = [m for m in self._compared if m in self._metrics][:_MOST]
        if not metrics:
            return
        figure = new_figure(8.0, 0.6 + len(metrics) * _height(len(self.models)))
        models = list(self.models)[::-1]
        for axes, metric in zip(_column(figure, metrics), metrics, strict=True):
            found = [self.scores[model][metric] for model in models]
            axes.barh(
                models,
                [measure.value for measure in found],
                xerr=[_95 * (measure.error or 0.0) for measure in found],
                capsize=3,
            )
            axes.set_title(metric, fontsize=9)
        yield Picture(figure, "Every model with 95 % intervals.")

    def _leads_picture(self) -> Picture:
        """A forest plot: intervals that hold zero show no difference."""
        metrics = self._compared[:_MOST]
        pairs = len(self.models) * (len(self.models) - 1) // 2
        figure = new_figure(8.0, 0.6 + len(metrics) * _height(pairs))
        for axes, metric in zip(_column(figure, metrics), metrics, strict=True):
            found = [d for d in self.differences if d.metric == metric][::-1]
            gaps = [one.lead.difference for one in found]
            reach = [
                (gap - one.lead.interval.low, one.lead.interval.high - gap)
                for gap, one in zip(gaps, found, strict=True)
            ]
            axes.errorbar(
                gaps,
                [f"{one.a} − {one.b}" for one in found],
                xerr=list(zip(*reach, strict=True)),
                fmt="o",
                capsize=3,
            )
            axes.axvline(0.0, linestyle="--", color="gray")
            axes.margins(y=0.4)
            axes.set_title(metric, fontsize=9)
        return Picture(
            figure,
            "How much better the first model of each pair is, with 95 % "
            "intervals. Right of the line the first is better.",
        )


def _side(metric: str, scores: Mapping[str, Mapping[str, Measure]]) -> str:
    found = (m[metric].higher_is_better for m in scores.values() if metric in m)
    return {True: "higher", False: "lower", None: ""}[next(found)]


def _height(rows: int) -> float:
    return 0.6 + 0.25 * rows


def _column(figure: Any, metrics: Sequence[str]) -> list[Any]:
    return list(figure.subplots(len(metrics), 1, squeeze=False)[:, 0])
