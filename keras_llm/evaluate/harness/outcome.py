"""From a model's answers to a task's numbers and its documents' values."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from keras_llm.evaluate.harness.filters import apply
from keras_llm.evaluate.harness.items import Item, Request
from keras_llm.evaluate.harness.plan import Plan
from keras_llm.evaluate.harness.scoring import Answer
from keras_llm.evaluate.harness.task import CHOICE, GENERATE, LIKELIHOOD
from keras_llm.evaluate.subject import Continuation, Prompt

NO_ERROR = "N/A"  # the harness's word


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a task gave.

    Attributes:
        results: `metric,filter` and `metric_stderr,filter` with their
            numbers, `sample_len`, and the task's names.
        samples: For each filter and document what was asked, what was
            answered and what the metrics say.

    Example:

    >>> Outcome({"acc,none": 0.5}, []).results["acc,none"]
    0.5
    """

    results: dict[str, Any]
    samples: list[dict[str, Any]]


def score_plan(
    plan: Plan, answers: Mapping[Request, Any], resamples: int, seed: int
) -> Outcome:
    """Returns a task's numbers.

    Args:
        plan: The task and its documents.
        answers: To all its requests.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.

    Raises:
        InputError: A metric cannot be computed from these documents.

    Source: the result format of the lm-evaluation-harness 0.4.13.

    Example:

    >>> from keras_llm.evaluate.harness.metric_uses import metric_uses
    >>> from keras_llm.evaluate.harness.task import Task
    >>> task = Task(task="sums")
    >>> item = Item(0, {}, "2", ["2"], [], [Prompt("1+1=")])
    >>> plan = Plan(task, metric_uses(task), {"none": []}, [item], 1)
    >>> outcome = score_plan(plan, {Prompt("1+1="): "2"}, 0, 0)
    >>> outcome.results["exact_match,none"]
    1.0
    """
    results: dict[str, Any] = {
        "name": plan.task.task,
        "alias": plan.task.task_alias or plan.task.task,
        "sample_len": len(plan.items),
    }
    samples = []
    for name in plan.chains:
        scored = [_sample(plan, item, answers, name) for item in plan.items]
        for use in plan.uses:
            values = [sample[use.name] for sample in scored]
            value, error = use.aggregate(values, resamples, seed)
            results[f"{use.name},{name}"] = value
            error_name = f"{use.name}_stderr,{name}"
            results[error_name] = NO_ERROR if error is None else error
        samples += scored
    return Outcome(results, samples)


def _sample(
    plan: Plan, item: Item, answers: Mapping[Request, Any], chain: str
) -> dict[str, Any]:
    given = [answers[request] for request in item.requests]
    kind = plan.task.output_type
    answer = Answer(item.doc, item.golds, item.choices)
    if kind in (CHOICE, LIKELIHOOD):
        count = len(item.choices) if kind == CHOICE else 1
        answer = dataclasses.replace(
            answer, likelihoods=given[:count], unconditional=given[count:]
        )
        resps, filtered = [[list(one)] for one in given], list(map(list, given))
    elif kind == GENERATE:
        response = apply(plan.chains[chain], given, item.doc)
        answer = dataclasses.replace(answer, response=response)
        resps, filtered = [given], [response]
    else:
        answer = dataclasses.replace(answer, response=given[0])
        resps, filtered = [given], given
    values = {use.name: use.score(answer) for use in plan.uses}
    return _record(item, resps, filtered, chain, values)


def _record(
    item: Item,
    resps: list,
    filtered: list,
    chain: str,
    values: dict[str, Any],
) -> dict[str, Any]:
    """A document by the keys of the harness's sample files."""
    arguments = _arguments(item)
    doc = json.dumps(item.doc, indent=2, default=str, ensure_ascii=False)
    return {
        "doc_id": item.number,
        "doc": item.doc,
        "target": item.target,
        "golds": item.golds,  # this and the next are ours
        "choices": item.choices,
        "arguments": arguments,
        "resps": resps,
        "filtered_resps": filtered,
        "filter": chain,
        "metrics": list(values),
        "doc_hash": _hash(doc),
        "prompt_hash": _hash(arguments["gen_args_0"]["arg_0"]),
        "target_hash": _hash(str(item.target)),
        **values,
    }


def _arguments(item: Item) -> dict[str, dict[str, Any]]:
    requests = item.requests
    if isinstance(requests[0], Prompt):
        requests = requests[:1]  # the others only repeat it
    return {
        f"gen_args_{number}": _parts(request)
        for number, request in enumerate(requests)
    }


def _parts(request: Request) -> dict[str, Any]:
    if isinstance(request, str):
        return {"arg_0": request}
    if isinstance(request, Continuation):
        return {"arg_0": request.context, "arg_1": request.continuation}
    options = {
        "until": list(request.until),
        "max_gen_toks": request.max_new_tokens,
        "do_sample": request.temperature > 0,
        "temperature": request.temperature,
    }
    return {"arg_0": request.context, "arg_1": options}


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
