"""What each document is given by a metric, and which metrics there are."""

import dataclasses
import re
import string
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from keras_llm.errors import InputError
from keras_llm.evaluate import answers
from keras_llm.evaluate.harness.sandbox import (
    SECONDS,
    pass_at_k,
    run_programs,
)
from keras_llm.evaluate.harness.task import (
    CHOICE,
    GENERATE,
    LIKELIHOOD,
    ROLLING,
)
from keras_llm.evaluate.rouge_scores import rouge
from keras_llm.evaluate.subject import Likelihood


@dataclasses.dataclass(frozen=True)
class Answer:
    """A document with what the model said about it.

    Attributes:
        doc: The document's columns.
        golds: The right answers: numbers of choices, or texts.
        choices: Where there are some.
        likelihoods: Of each choice, or of the one continuation.
        unconditional: Of each choice without its context; for mutual
            information.
        response: A generated answer after the filters, or several; or the
            log-probability of a text in nats.

    Example:

    >>> Answer({}, ["4"], response="4").text
    '4'
    """

    doc: dict[str, Any]
    golds: list
    choices: list[str] = dataclasses.field(default_factory=list)
    likelihoods: list[Likelihood] = dataclasses.field(default_factory=list)
    unconditional: list[Likelihood] = dataclasses.field(default_factory=list)
    response: Any = None

    @property
    def totals(self) -> np.ndarray:
        """The choices' log-probabilities, float64 `(choices,)`."""
        return np.array([one.total for one in self.likelihoods], "float64")

    @property
    def text(self) -> str:
        """The one generated answer.

        Raises:
            InputError: There are several.
        """
        found = self.response
        if isinstance(found, list) and len(found) == 1:
            found = found[0]
        if isinstance(found, list):
            raise InputError(
                f"Expected one answer to score. Received: {len(found)}. End "
                "the chain of filters with take_first."
            )
        return "" if found is None else str(found)


@dataclasses.dataclass(frozen=True)
class Metric:
    """How a metric scores a document.

    Attributes:
        score: By output type: a function of an `Answer` and of the options of
            `metric_list`, which returns a number, or what the aggregation
            needs.
        aggregation: A name of `AGGREGATIONS`.
        higher_is_better: None where neither is.
        least_golds: Fewest right answers that a document needs.
        most_golds: Most that it can have.
        takes_several: Whether `response` may be several generated answers.
        runs_code: Whether it runs what a model wrote; then `score` is given
            `allow_code=True` where the user allowed it.

    Example:

    >>> METRICS["acc"].aggregation
    'mean'
    """

    score: Mapping[str, Callable[..., Any]]
    aggregation: str = "mean"
    higher_is_better: bool | None = True
    least_golds: int = 0
    most_golds: int | None = None
    takes_several: bool = False
    runs_code: bool = False


def same_text(
    answer: Answer,
    regexes_to_ignore: list[str] | None = None,
    ignore_case: bool = False,
    ignore_punctuation: bool = False,
    ignore_numbers: bool = False,
) -> float:
    r"""Returns 1.0 if the answer is one of the right ones, else 0.0.

    Args:
        answer: With its text and the right ones.
        regexes_to_ignore: Patterns cut out of both.
        ignore_case: Whether case is ignored.
        ignore_punctuation: Whether ASCII punctuation is.
        ignore_numbers: Whether digits are.

    Source: `exact_match_hf_evaluate` of the lm-evaluation-harness 0.4.13.

    Example:

    >>> same_text(Answer({}, ["#### 1,000"], response="1000"),
    ...     regexes_to_ignore=[",", "(?s).*#### "])
    1.0
    """
    cut = string.punctuation * ignore_punctuation
    cut += string.digits * ignore_numbers
    table = str.maketrans("", "", cut)

    def plain(text: str) -> str:
        for pattern in regexes_to_ignore or []:
            text = re.sub(pattern, "", text)
        return (text.lower() if ignore_case else text).translate(table)

    found = plain(answer.text)
    return float(any(plain(gold) == found for gold in answer.golds))


def _hit(lengths: Callable[[str], int] | None = None) -> Callable:
    """Whether the likeliest choice is right, each divided by its length."""

    def score(answer: Answer) -> float:
        totals = answer.totals
        if lengths is not None:
            totals = totals / [lengths(choice) for choice in answer.choices]
        return float(np.argmax(totals) in answer.golds)

    return score


def _mutual_information(answer: Answer) -> float:
    alone = np.array([one.total for one in answer.unconditional])
    return float(np.argmax(answer.totals - alone) in answer.golds)


def _greedy(answer: Answer) -> float:
    return float(answer.likelihoods[0].greedy)


def _gold_greedy(answer: Answer) -> float:
    return float(any(answer.likelihoods[n].greedy for n in answer.golds))


def _classes(answer: Answer) -> list[int]:
    return [answer.golds[0], int(np.argmax(answer.totals))]


def _shares(answer: Answer) -> np.ndarray:
    """The choices' probabilities among themselves."""
    odds = np.exp(answer.totals - answer.totals.max())
    return odds / odds.sum()


def _brier(answer: Answer) -> float:
    right = np.eye(len(answer.choices))[answer.golds[0]]
    return float(((_shares(answer) - right) ** 2).sum())


def _gold_share(answer: Answer) -> float:
    return float(_shares(answer)[answer.golds].sum())


def _sized(size: Callable[[str], int]) -> Callable[..., list[float]]:
    """The log-probability of a text, and the size of it or of a column."""

    def score(answer: Answer, counted: str | None = None) -> list[float]:
        text = answer.golds[0] if counted is None else answer.doc.get(counted)
        if not isinstance(text, str):
            raise InputError(
                f"Expected a column with a text to count. Received: {counted}, "
                f"and the columns {', '.join(map(str, answer.doc))}."
            )
        return [answer.response, size(text)]

    return score


def _bytes(text: str) -> int:
    return len(text.encode())


def _words(text: str) -> int:
    return len(re.split(r"\s+", text))


def _pair(answer: Answer) -> list:
    return [answer.golds, answer.text]


def _pass(k: int) -> Metric:
    """One of k answers passes the tests, which are the document's target."""

    def score(
        answer: Answer, allow_code: bool = False, seconds: int = SECONDS
    ) -> float:
        found = answer.response
        texts = found if isinstance(found, list) else [found]
        begun, tests = answer.doc.get("prompt", ""), answer.golds[0]
        programs = tuple(f"{begun}{text}\n{tests}" for text in texts)
        ends = run_programs(programs, allow_code, seconds)
        return pass_at_k(len(ends), ends.count("passed"), k)

    return Metric({GENERATE: score}, least_golds=1, runs_code=True)


def _rouge(kind: str) -> Callable[..., float]:
    def score(answer: Answer, stemmer: bool = True) -> float:
        return rouge([answer.text], [answer.golds], [kind], stemmer)[kind]

    return score


def _generated(score: Callable[..., Any], least: int = 0) -> Metric:
    return Metric({GENERATE: score}, least_golds=least)


def _corpus(name: str, higher_is_better: bool = True) -> Metric:
    return Metric({GENERATE: _pair}, name, higher_is_better, least_golds=1)


def _read(size: Callable[[str], int], aggregation: str) -> Metric:
    return Metric({ROLLING: _sized(size)}, aggregation, higher_is_better=False)


METRICS: dict[str, Metric] = {
    "acc": Metric({CHOICE: _hit(), LIKELIHOOD: _greedy}),
    "acc_norm": Metric({CHOICE: _hit(len)}),
    "acc_bytes": Metric({CHOICE: _hit(_bytes)}),
    "acc_mutual_info": Metric({CHOICE: _mutual_information}),
    "exact_match": Metric({GENERATE: same_text, CHOICE: _gold_greedy}),
    "f1": Metric({CHOICE: _classes}, "f1", most_golds=1),
    "mcc": Metric({CHOICE: _classes}, "matthews_corrcoef", most_golds=1),
    "brier_score": Metric({CHOICE: _brier}, "brier_score", False, most_golds=1),
    "mc2": Metric({CHOICE: _gold_share}),  # TruthfulQA: share of the truth
    "perplexity": Metric(
        {LIKELIHOOD: lambda answer: answer.likelihoods[0].total},
        "perplexity",
        higher_is_better=False,
    ),
    "word_perplexity": _read(_words, "weighted_perplexity"),
    "byte_perplexity": _read(_bytes, "weighted_perplexity"),
    "bits_per_byte": _read(_bytes, "bits_per_byte"),
    "squad_em": _generated(lambda a: answers.exact_match(a.text, a.golds)),
    "squad_f1": _generated(lambda a: answers.token_f1(a.text, a.golds)),
    "bleu": _corpus("bleu"),
    "chrf": _corpus("chrf"),
    "chrf++": _corpus("chrf++"),
    "ter": _corpus("ter", higher_is_better=False),
    "rouge1": _generated(_rouge("rouge1"), least=1),
    "rouge2": _generated(_rouge("rouge2"), least=1),
    "rougeL": _generated(_rouge("rougeL"), least=1),
    "rougeLsum": _generated(_rouge("rougeLsum"), least=1),
    **{f"pass@{k}": _pass(k) for k in (1, 2, 5, 8, 10, 16, 32, 64, 100)},
}
# Without a metric_list, as in the harness.
USUAL = {
    LIKELIHOOD: ("perplexity", "acc"),
    ROLLING: ("word_perplexity", "byte_perplexity", "bits_per_byte"),
    CHOICE: ("acc", "acc_norm"),
    GENERATE: ("exact_match",),
}
