"""Documents made ready for a task's templates, whichever file they are from.

The same benchmark is published with other columns in other places: on the
Hugging Face hub, by its authors, and as `query`, `choices` and `gold` in
llm-foundry. A preparation brings all of them to the columns of the hub, and
adds those that the prompt needs.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any

from keras_llm.errors import InputError

Doc = dict[str, Any]


def prepared(docs: Iterable[Doc], name: str | None, where: str) -> list[Doc]:
    """Returns documents made ready by a function of `PREPARE`.

    Args:
        docs: As they were read.
        name: Of the function; None leaves them as they are. A document for
            which it returns None is left out.
        where: The task and split, for errors.

    Raises:
        InputError: There is no such function, or a column is missing.

    Example:

    >>> doc = {"query": "Question: 1 + 1?", "choices": ["1", "2"], "gold": 1}
    >>> prepared([doc], "arc", "sums")[0]["question"]
    '1 + 1?'
    """
    if name is None:
        return list(docs)
    if name not in PREPARE:
        raise InputError(
            f"Expected process_docs to be one of {', '.join(PREPARE)}, in "
            f"{where}. Received: {name!r}."
        )
    made = (
        _made(doc, name, f"{where}, document {number}")
        for number, doc in enumerate(docs)
    )
    return [doc for doc in made if doc is not None]


def _made(doc: Doc, name: str, where: str) -> Doc | None:
    try:
        return PREPARE[name](doc)
    except (LookupError, ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f"Expected the columns of {name} in {where}. Received: the "
            f"columns {', '.join(map(str, doc))}, and {error!r}. Is this "
            "file of that benchmark?"
        ) from error


def _hellaswag(doc: Doc) -> Doc:
    """Source: https://arxiv.org/abs/1905.07830; clean-up as the harness's.

    Where the file has the clean text already, only the begun sentence at its
    end is written with a capital, as the harness does.
    """
    if "endings" not in doc:
        query = _BEGUN.sub(lambda m: m[1] + m[2].capitalize(), doc["query"])
        return doc | {"query": query, "label": doc["gold"]}
    context = f"{doc['ctx_a']} {doc['ctx_b'].capitalize()}"
    return doc | {
        "query": _cleaned(f"{doc['activity_label']}: {context}"),
        "choices": [_cleaned(ending) for ending in doc["endings"]],
    }


_BEGUN = re.compile(r"([.!?]['\")]* )([a-z][^.!?]*)$")


def _cleaned(text: str) -> str:
    """Without the marks that WikiHow's articles left."""
    text = text.strip().replace(" [title]", ". ")
    return re.sub(r"\[.*?\]", "", text).replace("  ", " ")


def _lettered(column: str) -> Callable[[Doc], Doc]:
    """ARC and OpenBookQA: choices with letters, the question in a column."""

    def prepare(doc: Doc) -> Doc:
        if "query" in doc:
            texts, gold = doc["choices"], doc["gold"]
            letters = [chr(ord("A") + n) for n in range(len(texts))]
            question = doc["query"].removeprefix("Question: ").strip()
            key = letters[gold]
        elif isinstance(doc.get("question"), dict):  # the authors' own files
            choices = doc["question"]["choices"]
            texts = [choice["text"] for choice in choices]
            letters = [choice["label"] for choice in choices]
            question, key = doc["question"]["stem"], doc["answerKey"]
        else:
            return doc
        choices = {"text": texts, "label": letters}
        return {column: question, "choices": choices, "answerKey": key}

    return prepare


def _piqa(doc: Doc) -> Doc:
    if "query" not in doc:
        return doc
    first, second = doc["choices"]
    return {
        "goal": doc["query"].removeprefix("Question: ").strip(),
        "sol1": first,
        "sol2": second,
        "label": doc["gold"],
    }


def _boolq(doc: Doc) -> Doc:
    if "query" not in doc:
        return doc | {"label": int(doc["label"])}
    passage, question = doc["query"].rsplit("\nQuestion: ", 1)
    return {
        "passage": passage.removeprefix("Passage: "),
        "question": question.strip().removesuffix("?"),
        "label": doc["gold"],
    }


_CONNECTORS = {"cause": "because", "effect": "therefore"}


def _copa(doc: Doc) -> Doc:
    """Source: https://people.ict.usc.edu/~gordon/copa.html; prompt as the
    harness's: the full stop of the premise gives way to a connecting word.
    """
    if "query" in doc:
        premise, connector = doc["query"].rsplit(", ", 1)
        choices, label = doc["choices"], doc["gold"]
    else:
        premise = doc["premise"].strip()[:-1]
        connector = _CONNECTORS[doc["question"]]
        choices, label = [doc["choice1"], doc["choice2"]], doc["label"]
    return doc | {
        "query": f"{premise} {connector}",
        "choices": [f" {choice[0].lower()}{choice[1:]}" for choice in choices],
        "label": label,
    }


def _winogrande(doc: Doc) -> Doc:
    """Two contexts with one continuation: the likelier context is chosen.

    Source: https://arxiv.org/abs/1907.10641; Trinh and Le 2018,
    https://arxiv.org/abs/1806.02847, for scoring the part after the blank.
    """
    if "context_options" in doc:
        contexts, rest = doc["context_options"], doc["continuation"]
        return {"contexts": contexts, "rest": rest, "label": doc["gold"]}
    before, rest = doc["sentence"].split("_", 1)
    return doc | {
        "contexts": [before + doc["option1"], before + doc["option2"]],
        "rest": rest.strip(),
        "label": ("1", "2").index(doc["answer"]),
    }


def _lambada(doc: Doc) -> Doc:
    if "text" in doc:
        return doc
    return {"text": f"{doc['context'].rstrip()} {doc['continuation'].strip()}"}


def _truthfulqa(doc: Doc) -> Doc:
    """The authors' table has answers without numbers, separated by ";".

    MC1 is its best answer against all incorrect ones, MC2 all correct ones
    against all incorrect ones. The hub's MC1 has fewer incorrect answers for
    many questions, so that its accuracy is a little higher.

    Source: https://arxiv.org/abs/2109.07958.
    """
    if "mc1_targets" not in doc:
        best = doc["Best Answer"].strip()
        true = _answers(doc["Correct Answers"])
        false = _answers(doc["Incorrect Answers"])
        doc = {
            "question": doc["Question"],
            "mc1_targets": _targets([best], false),
            "mc2_targets": _targets(true, false),
        }
    labels = enumerate(doc["mc2_targets"]["labels"])
    return doc | {"true_answers": [n for n, label in labels if label == 1]}


def _answers(cell: str) -> list[str]:
    return [answer.strip() for answer in cell.split(";") if answer.strip()]


def _targets(true: list[str], false: list[str]) -> Doc:
    labels = [1] * len(true) + [0] * len(false)
    return {"choices": true + false, "labels": labels}


def _wikitext(doc: Doc) -> Doc:
    """A page as it is written; perplexity counts the words of the original.

    Source: the rules of the lm-evaluation-harness's task, its slips included,
    since they are part of what is measured.
    """
    text = doc["page"].replace("s '", "s'")
    for pattern, new in _SPACES:
        text = re.sub(pattern, new, text)
    return doc | {"text": text}


# Pattern -> what stands in its place, in this order.
_SPACES = (
    (r"/' [0-9]/", "/'[0-9]/"),
    (r" @([-,.])@ ", r"\1"),
    *((rf" {re.escape(mark)} ", f"{mark} ") for mark in ":;.!?,"),
    (r"\(\s*([^\)]*?)\s*\)", r"(\1)"),
    (r"\[\s*([^\]]*?)\s*\]", r"[\1]"),
    (r"{\s*([^}]*?)\s*}", r"{\1}"),
    (r"\"\s*([^\"]*?)\s*\"", r'"\1"'),
    (r"'\s*([^']*?)\s*'", r"'\1'"),
    ("= = = =", "===="),
    ("= = =", "==="),
    ("= =", "=="),
    (" ° ", "°"),
    (" \n", "\n"),
    ("\n ", "\n"),
    (" N ", " 1 "),
    (" 's", "'s"),
)


def _scitldr(doc: Doc) -> Doc:
    """An abstract as one text; several summaries are all right answers."""
    return doc | {"abstract": " ".join(doc["source"])}


PREPARE: dict[str, Callable[[Doc], Doc | None]] = {
    "arc": _lettered("question"),
    "boolq": _boolq,
    "copa": _copa,
    "hellaswag": _hellaswag,
    "lambada": _lambada,
    "openbookqa": _lettered("question_stem"),
    "piqa": _piqa,
    "scitldr": _scitldr,
    "truthfulqa": _truthfulqa,
    "wikitext": _wikitext,
    "winogrande": _winogrande,
}
