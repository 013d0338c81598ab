"""Generated texts beside what was expected: all scores, each with its error."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from keras_llm.errors import InputError
from keras_llm.evaluate.answers import exact_match, token_f1
from keras_llm.evaluate.diversity import (
    distinct_n,
    repetition_rates,
)
from keras_llm.evaluate.finding import Block, Code, Measure, Table, Title, Words
from keras_llm.evaluate.overlap import bleu, chrf, sentence_scores, ter
from keras_llm.evaluate.references import reference_lists
from keras_llm.evaluate.rouge_scores import rouge_each
from keras_llm.evaluate.statistics import standard_error

SHOWN = 5  # worst texts on the page
_95 = 1.959964  # half a 95 % interval, in standard errors


class Scored(NamedTuple):
    """What a metric gave.

    Attributes:
        measure: Of all texts together, with its standard error.
        values: Of each text alone, float64 `(texts,)`; None for a metric of
            all texts only.
        signature: What else it depends on, as sacrebleu writes it.

    Example:

    >>> Scored(Measure(0.5), np.array([0.0, 1.0])).signature
    ''
    """

    measure: Measure
    values: np.ndarray | None
    signature: str = ""


Metric: TypeAlias = Callable[[Sequence[str], list[list[str]]], Scored]


@dataclasses.dataclass(frozen=True, kw_only=True)
class GenerationReport:
    """Generated texts and their scores; a `Finding`.

    Attributes:
        title: The heading of its section.
        name: Before the names of its measures, as in "generation/bleu".
        predictions: The texts.
        references: Those of each text.
        prompts: What each text answers; [] if that was not told.
        scores: `Scored` by metric; BLEU, chrF and TER in percent as in
            sacrebleu, all else from 0 to 1.

    Example:

    >>> found = generation_scores(["4", "5"], ["4", "6"], ["exact_match"])
    >>> found.measures()["generation/exact_match"].value
    0.5
    """

    title: str
    name: str
    predictions: Sequence[str]
    references: list[list[str]]
    prompts: Sequence[str]
    scores: Mapping[str, Scored]

    def values(self, metric: str) -> np.ndarray:
        """Returns a metric of each text, float64 `(texts,)`.

        Raises:
            InputError: The metric was not computed, or is one of all texts.
        """
        each = {
            name: one.values
            for name, one in self.scores.items()
            if one.values is not None
        }
        if metric not in each:
            raise InputError(
                "Expected a metric that each text has: "
                f"{', '.join(each) or 'there is none'}. Received: {metric!r}."
            )
        return each[metric]

    def measures(self) -> dict[str, Measure]:
        """Returns every metric of all texts together."""
        return {
            f"{self.name}/{metric}": one.measure
            for metric, one in self.scores.items()
        }

    def blocks(self) -> list[Block]:
        """Returns the table of scores, and the worst texts."""
        count = len(self.predictions)
        rows = [
            {"metric": name, "score": one.measure, "signature": one.signature}
            for name, one in self.scores.items()
        ]
        return [
            Words(
                f"{count} generated text{'s' if count > 1 else ''} beside "
                "references. BLEU, chrF and TER are in percent, as sacrebleu "
                "gives them; all else is from 0 to 1."
            ),
            Table(rows, "Scores of all texts, ± standard error."),
            *self._worst(),
        ]

    def to_dict(self) -> dict[str, Any]:
        """Returns the scores, and those of each text, as plain values."""
        scores = {
            name: {
                **one.measure._asdict(),
                "signature": one.signature,
                "values": None if one.values is None else one.values.tolist(),
            }
            for name, one in self.scores.items()
        }
        return {
            "title": self.title,
            "name": self.name,
            "scores": scores,
            "prompts": list(self.prompts),
            "predictions": list(self.predictions),
            "references": self.references,
        }

    def _worst(self) -> list[Block]:
        """The texts with the least of the first metric that each text has."""
        ranked = [
            (metric, one.values)
            for metric, one in self.scores.items()
            if one.values is not None and one.measure.higher_is_better
        ]
        if not ranked:
            return []
        metric, values = ranked[0]
        places = np.argsort(values, kind="stable")[:SHOWN]
        told = [
            self._told(int(i), f"{metric}: {values[i]:.3g}") for i in places
        ]
        return [Title(f"Least {metric}"), *told]

    def _told(self, place: int, score: str) -> Code:
        prompt = [f"prompt: {self.prompts[place]}"] if self.prompts else []
        expected = [f"reference: {one}" for one in self.references[place]]
        text = f"text: {self.predictions[place]}"
        return Code("\n".join([score, *prompt, text, *expected]))


def generation_scores(
    predictions: Sequence[str],
    references: Sequence[str | Sequence[str]],
    metrics: Sequence[str] = ("exact_match", "token_f1", "chrf", "rougeL"),
    prompts: Sequence[str] = (),
    title: str = "Generated texts",
    name: str = "generation",
) -> GenerationReport:
    """Compares generated texts with their references by several metrics.

    The standard error is that of the mean over texts; of BLEU, chrF and TER,
    which are no means, half of sacrebleu's bootstrap interval over 1.96.

    Args:
        predictions: The texts.
        references: One for each, or several; none (`[]`) is a question
            without an answer, which exact_match and token_f1 know.
        metrics: Names in `generation_metrics()`: "exact_match", "token_f1",
            "bleu", "chrf", "ter", "rouge1", "rouge2", "rougeL", "rougeLsum",
            "distinct_1", "distinct_2", "repetition_4", "length".
        prompts: What each text answers, shown beside it.
        title: The heading of the report's section.
        name: Before the names of its measures.

    Raises:
        InputError: There are no texts or not as many references or prompts,
            a metric is unknown, or its package is missing.

    Example:

    >>> found = generation_scores(["The cat!", "a dog"], ["cat", "a cow"],
    ...     metrics=["exact_match", "token_f1"])
    >>> found.values("token_f1").tolist()
    [1.0, 0.0]
    """
    lists = reference_lists(predictions, references, least=0)
    unknown = sorted(set(metrics) - set(_METRICS))
    if unknown or not metrics:
        raise InputError(
            f"Expected metrics among {', '.join(_METRICS)}. Received: "
            f"{', '.join(unknown) or 'none'}."
        )
    if prompts and len(prompts) != len(predictions):
        raise InputError(
            f"Expected a prompt for each text. Received: {len(prompts)} "
            f"prompts and {len(predictions)} texts."
        )
    return GenerationReport(
        title=title,
        name=name,
        predictions=predictions,
        references=lists,
        prompts=prompts,
        scores={one: _METRICS[one](predictions, lists) for one in metrics},
    )


def generation_metrics() -> tuple[str, ...]:
    """Returns the names of the metrics of `generation_scores`.

    Example:

    >>> "bleu" in generation_metrics()
    True
    """
    return tuple(_METRICS)


def _mean(values: Any, higher_is_better: bool | None = True) -> Scored:
    values = np.asarray(values, "float64")
    measure = Measure(
        float(values.mean()),
        standard_error(values),
        len(values),
        higher_is_better,
    )
    return Scored(measure, values)


def _answers(score: Callable[[str, list[str]], float]) -> Metric:
    return lambda texts, lists: _mean(
        [
            score(text, several)
            for text, several in zip(texts, lists, strict=True)
        ]
    )


def _rouge(kind: str) -> Metric:
    return lambda texts, lists: _mean(rouge_each(texts, lists, [kind])[kind])


def _corpus(kind: str, score: Callable[..., Any]) -> Metric:
    def scored(texts: Sequence[str], lists: list[list[str]]) -> Scored:
        found = score(texts, lists)
        low, high = found.interval
        error = (high - low) / 2 / _95 if len(texts) > 1 else None
        values = np.array(sentence_scores(kind, texts, lists))
        better = kind != "ter"
        measure = Measure(found.score, error, len(texts), better)
        return Scored(measure, values, found.signature)

    return scored


def _distinct(n: int) -> Metric:
    return lambda texts, lists: Scored(
        Measure(distinct_n(texts, n), None, len(texts)), None
    )


_METRICS: dict[str, Metric] = {
    "exact_match": _answers(exact_match),
    "token_f1": _answers(token_f1),
    "bleu": _corpus("bleu", bleu),
    "chrf": _corpus("chrf", chrf),
    "ter": _corpus("ter", ter),
    **{
        kind: _rouge(kind)
        for kind in ("rouge1", "rouge2", "rougeL", "rougeLsum")
    },
    "distinct_1": _distinct(1),
    "distinct_2": _distinct(2),
    "repetition_4": lambda texts, lists: _mean(
        repetition_rates(texts, 4), False
    ),
    "length": lambda texts, lists: _mean(
        [len(text.split()) for text in texts], None
    ),
}
