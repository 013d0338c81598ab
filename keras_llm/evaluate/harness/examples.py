"""Single documents of a benchmark, for error analyses and for readers."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from keras_llm.errors import InputError
from keras_llm.evaluate.finding import Block, Code, Title, Words
from keras_llm.evaluate.grouping import EvaluatedItem

SHOWN = 2  # documents at either end
_TAIL = 600  # characters of a prompt that are shown

# What a document's value is for metrics that are more than a mean.
_OF_ONE = {
    "perplexity": lambda nats: -nats,
    "word_perplexity": lambda pair: -pair[0] / pair[1],
    "byte_perplexity": lambda pair: -pair[0] / pair[1],
    "bits_per_byte": lambda pair: -pair[0] / pair[1] / math.log(2),
}


def evaluated_items(
    task: str, metric: str, samples: Sequence[dict[str, Any]]
) -> list[EvaluatedItem]:
    """Returns the documents of a task as items of an error analysis.

    Args:
        task: The task's name.
        metric: One of its metrics.
        samples: Of one filter, as in `BenchmarkReport.samples`.

    Raises:
        InputError: The metric has no value for a single document.

    Example:

    >>> arguments = {"gen_args_0": {"arg_0": "1+1=", "arg_1": " 2"}}
    >>> sample = {"acc": 1.0, "arguments": arguments, "golds": [" 2"],
    ...     "choices": [], "resps": [[[-0.5, True]]]}
    >>> evaluated_items("sums", "acc", [sample])[0].text
    '1+1= 2'
    """
    return [
        EvaluatedItem(
            text=_text(sample),
            value=_value(task, metric, sample[metric]),
            loss=_loss(sample),
            source=task,
            label=_label(sample),
            answer=_answer(sample),
        )
        for sample in samples
    ]


def shown_items(
    task: str,
    metric: str,
    items: Sequence[EvaluatedItem],
    higher_is_better: bool | None,
) -> Iterator[Block]:
    """Returns the documents where a metric is worst and best.

    Of documents with equal values, those with the highest loss are the worst.

    Example:

    >>> item = EvaluatedItem("1+1= 2", 0.0, loss=3.2, answer=" 3")
    >>> [type(one).__name__ for one in shown_items("a", "acc", [item], True)]
    ['Title', 'Words', 'Code']
    """
    sign = -1 if higher_is_better is False else 1
    ranked = sorted(items, key=lambda i: (sign * i.value, -(i.loss or 0.0)))
    ends = ranked[:SHOWN], ranked[SHOWN:][-SHOWN:]
    for name, end in zip(("worst", "best"), ends, strict=True):
        if end:
            yield Title(f"{task}: where {metric} is {name}")
        for item in end:
            said = f"{metric} {item.value:.4g}"
            if item.loss is not None:
                said += f", {item.loss:.4g} nats"
            if item.answer is not None:
                said += f", the model's answer: {item.answer.strip()!r:.200}"
            yield Words(f"{said}.")
            cut = len(item.text) > _TAIL
            yield Code("… " * cut + item.text[-_TAIL:])


def _value(task: str, metric: str, value: Any) -> float:
    if metric in _OF_ONE:
        return float(_OF_ONE[metric](value))
    if isinstance(value, (int, float)):
        return float(value)
    raise InputError(
        f"Expected a metric of {task} that each document has a value of. "
        f"Received: {metric}, which is computed over all documents together."
    )


def _parts(sample: dict[str, Any], number: int = 0) -> tuple[str, Any]:
    arguments = sample["arguments"][f"gen_args_{number}"]
    return arguments["arg_0"], arguments.get("arg_1")


def _text(sample: dict[str, Any]) -> str:
    """What was read, and the right answer."""
    gold = sample["golds"][0] if sample["golds"] else ""
    context, follows = _parts(sample, gold if isinstance(gold, int) else 0)
    if isinstance(follows, dict):
        return f"{context} {gold}"
    return context + (follows or "")


def _loss(sample: dict[str, Any]) -> float | None:
    context, follows = _parts(sample)
    if isinstance(follows, dict):
        return None
    if follows is None:
        return -sample["resps"][0][0]
    numbers = sample["golds"] if sample["choices"] else [0]
    return -max(sample["resps"][number][0][0] for number in numbers)


def _label(sample: dict[str, Any]) -> str | None:
    gold = sample["golds"][0] if sample["golds"] else None
    return f"choice {gold}" if isinstance(gold, int) else None


def _answer(sample: dict[str, Any]) -> str | None:
    _, follows = _parts(sample)
    if isinstance(follows, dict):
        found = sample["filtered_resps"][0]
        return str(found[0] if isinstance(found, list) else found)
    if not sample["choices"]:
        return None
    totals = [one[0][0] for one in sample["resps"][: len(sample["choices"])]]
    return sample["choices"][totals.index(max(totals))]
