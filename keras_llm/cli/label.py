"""The verb that asks people: label."""

import getpass
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from keras_llm.cli.app import verb
from keras_llm.cli.asking import QUIT, SKIP, ask_labels, ask_pairs
from keras_llm.cli.console import command, report, start_tensorflow
from keras_llm.errors import InputError

PAIRS, CLASSES = "Pairs of answers", "Classes of texts"


@verb(
    "keras-llm label runs/feedback.sqlite",
    "keras-llm label runs/feedback.sqlite --prompts prompts.txt "
    "--model runs/model --temperature 0.7 --temperature 1.2",
    "keras-llm label runs/feedback.sqlite --texts messages.txt "
    "--labels ham,spam",
)
def label(
    path: Annotated[
        Path, typer.Argument(help="The feedback store; a missing one is made.")
    ],
    prompts: Annotated[
        Path | None,
        typer.Option(
            help="Generate two answers to each of these: one a line, or JSON "
            'lines with "prompt".',
            rich_help_panel=PAIRS,
        ),
    ] = None,
    model: Annotated[
        list[Path] | None,
        typer.Option(
            help="What answers; twice to compare two models.",
            rich_help_panel=PAIRS,
        ),
    ] = None,
    temperature: Annotated[
        list[float] | None,
        typer.Option(
            help="Of the answers; twice to compare two.",
            rich_help_panel=PAIRS,
            show_default="0.8 with two seeds",
        ),
    ] = None,
    max_new_tokens: Annotated[
        int, typer.Option(help="Of an answer.", rich_help_panel=PAIRS)
    ] = 128,
    chat: Annotated[
        bool,
        typer.Option("--chat", help="Ask as in a chat.", rich_help_panel=PAIRS),
    ] = False,
    seed: Annotated[
        int, typer.Option(help="Of the sampling.", rich_help_panel=PAIRS)
    ] = 0,
    texts: Annotated[
        Path | None,
        typer.Option(
            help="Ask for the class of each: one a line, or JSON lines with "
            '"text".',
            rich_help_panel=CLASSES,
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            help="The classes, with commas between.", rich_help_panel=CLASSES
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            help='Most useful texts first, by their "probabilities": entropy, '
            "margin, least_confidence or bald.",
            rich_help_panel=CLASSES,
            show_default="in the order of the file",
        ),
    ] = None,
    annotator: Annotated[
        str | None,
        typer.Option(
            help="Who labels.",
            rich_help_panel=CLASSES,
            show_default="your user name",
        ),
    ] = None,
) -> None:
    """Ask which of two answers is better, or of what class a text is.

    Without more, pairs are answers in the store to the same prompt that
    nobody compared. What you say is on the disk at once: stop whenever you
    like, and the same command goes on where you were.
    """
    from keras_llm.feedback import FeedbackStore

    _check(path, prompts, model, texts, labels, by)
    with FeedbackStore(path) as store:
        if texts is not None:
            classes = _classes(labels or "")
            who = getpass.getuser() if annotator is None else annotator
            _end(path, _labels(store, texts, classes, by, who))
            report("Labels", store.label_counts(), _next(path, "labels"))
            return
        if prompts is not None:
            given = (model or [], temperature or [], chat, max_new_tokens, seed)
            said = _generated(store, prompts, given)
        else:
            said = _kept(store)
        _end(path, said)
        report("Feedback", store.counts(), _next(path, "preferences"))


def _end(path: Path, said: Iterator[str]) -> None:
    """Asks all questions and says how many were answered."""
    keys = list(said)
    skipped = keys.count(SKIP)
    typer.echo(f"{len(keys) - skipped} answered, {skipped} skipped; in {path}.")


def _next(path: Path, what: str) -> str:
    return command("feedback", path, f"--{what}", f"{what}.jsonl")


def _check(path: Path, prompts: Any, model: Any, *classes: Any) -> None:
    """Refuses options that do not belong together, before any work."""
    texts, labels, by = classes
    if (prompts is None) != (not model) or (texts is None) != (labels is None):
        raise InputError(
            "Expected --prompts with --model, or --texts with --labels. "
            "Received: one without the other. Give both, or none to compare "
            "answers in the store."
        )
    if prompts is not None and texts is not None or by and texts is None:
        raise InputError(
            "Expected --prompts or --texts, and --by with --texts only. "
            "Received: both, or --by alone. Run them one after the other."
        )
    if prompts is None and texts is None and not path.is_file():
        raise InputError(
            f"Expected the file of a feedback store. Received: {path}, which "
            "is none. `keras-llm serve --feedback` makes one; or give "
            "--prompts, or --texts."
        )


def _classes(labels: str) -> list[str]:
    names = [name.strip() for name in labels.split(",")]
    if len(set(names)) < 2 or len(set(names)) < len(names) or "" in names:
        raise InputError(
            "Expected two or more different classes with commas between. "
            f"Received: {labels!r}."
        )
    if {*names} & {SKIP, QUIT}:
        raise InputError(
            f"Expected classes with other names than {SKIP!r} and {QUIT!r}, "
            f"which skip and quit. Received: {labels!r}. Write them out."
        )
    return names


def _labels(
    store: Any, path: Path, classes: list[str], by: str | None, who: str
) -> Iterator[str]:
    """Asks for the class of each text that has none yet."""
    from keras_llm.feedback import read_texts

    found = read_texts(path)
    order = range(len(found)) if by is None else _order(found, by, path)
    known = store.labels()
    texts = [found[i]["text"] for i in order if found[i]["text"] not in known]
    done = len(found) - len(texts)
    return ask_labels(
        store, texts, classes, done, annotator=who, source=str(path)
    )


def _order(found: list[dict[str, Any]], by: str, path: Path) -> Any:
    """The most useful texts first, by the probabilities in the file."""
    import numpy as np

    from keras_llm.feedback import rank

    try:
        p = np.array([one["probabilities"] for one in found], "float64")
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            'Expected "probabilities" of each text in the same form: one for '
            "each class, or a list of those from passes with dropout. "
            f"Received: {path}, where they are not ({error!r})."
        ) from error
    return rank(np.moveaxis(p, 0, 1) if p.ndim == 3 else p, method=by)


def _generated(store: Any, path: Path, given: tuple) -> Iterator[str]:
    """Asks about answers that are generated now."""
    from keras_llm.cli.answering import contestants, generated_pairs
    from keras_llm.feedback import read_texts

    both = contestants(*given)  # checked before TensorFlow is waited for
    prompts = [one["prompt"] for one in read_texts(path, "prompt")]
    left = [
        prompt
        for prompt in prompts
        if not store.compared(*(one.answer_id(prompt) for one in both))
    ]
    pairs = generated_pairs(store, left, both, _load)
    return ask_pairs(store, pairs, len(prompts) - len(left), len(prompts))


def _kept(store: Any) -> Iterator[str]:
    """Asks about answers in the store."""
    pairs, done = store.open_pairs(), store.compared_count()
    return ask_pairs(store, pairs, done, done + len(pairs))


def _load(model: Path) -> Any:
    from keras_llm.cli.model import load_model

    start_tensorflow()
    return load_model(model)
