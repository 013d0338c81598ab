"""The verb that reads a feedback store: feedback."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from keras_llm.cli.app import verb
from keras_llm.cli.console import report, start_tensorflow
from keras_llm.errors import InputError


@verb(
    "keras-llm feedback feedback.sqlite",
    "keras-llm feedback feedback.sqlite --preferences pairs.jsonl "
    "--instructions good.jsonl",
    "keras-llm feedback feedback.sqlite --drift runs/corpus --model runs/model",
)
def feedback(
    path: Annotated[
        Path, typer.Argument(help="The file of `keras-llm serve --feedback`.")
    ],
    preferences: Annotated[
        Path | None,
        typer.Option(
            help="Write chosen and rejected answers here, as JSON lines."
        ),
    ] = None,
    instructions: Annotated[
        Path | None,
        typer.Option(help="Write good answers here, as JSON lines."),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="Write texts and labels here, as JSON lines."),
    ] = None,
    drift: Annotated[
        Path | None,
        typer.Option(
            help="Compare the prompts with these texts of the training: a "
            "corpus (its held-out documents), or a file of texts."
        ),
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="For the perplexity of --drift.")
    ] = None,
) -> None:
    """Count what people said of answers, and write it to tune on.

    --drift tells how far the prompts are from what the model was trained on.
    """
    from keras_llm.feedback import FeedbackStore

    if not path.is_file():
        raise InputError(
            f"Expected the file of a feedback store. Received: {path}, which "
            "is none. `keras-llm serve --feedback` makes one."
        )
    if (drift is None) != (model is None):
        raise InputError(
            "Expected --drift with --model. Received: one without the other."
        )
    with FeedbackStore(path) as store:
        facts = dict(store.counts())
        if preferences is not None:
            facts[str(preferences)] = store.write_preferences(preferences)
        if instructions is not None:
            facts[str(instructions)] = store.write_instructions(instructions)
        if labels is not None:
            facts[str(labels)] = store.write_labels(labels)
        facts |= {f"label {k}": n for k, n in store.label_counts().items()}
        prompts = store.prompts()
    report(f"Feedback in {path}", facts)
    if drift is not None and model is not None:
        _report_drift(drift, prompts, model)


def _report_drift(reference: Path, prompts: list[Any], model: Path) -> None:
    from keras_llm.cli.model import load_model
    from keras_llm.feedback import drift, read_texts
    from keras_llm.feedback.answer import text_of

    if reference.is_dir():
        from keras_llm.data import read_corpus

        texts = [one.text for one in read_corpus(reference, "heldout")]
    else:
        texts = [one["text"] for one in read_texts(reference)]
    start_tensorflow()
    found = drift(texts, [text_of(one) for one in prompts], load_model(model))
    table = Table(
        title=f"{found.live_texts:,} prompts beside "
        f"{found.reference_texts:,} texts of {reference}",
        title_justify="left",
    )
    for name in ("", "training", "live", "PSI", "KS", "p", "drift"):
        table.add_column(name, justify="right" if name else "left")
    for name, shift in found.shifts().items():
        numbers = (shift.reference, shift.live, shift.psi, shift.ks)
        cells = (f"{number:.3f}" for number in numbers)
        table.add_row(
            name.replace("_", " "), *cells, f"{shift.p_value:.2g}", shift.level
        )
    console = Console()
    console.print(table)
    console.print(found.verdict(), soft_wrap=True)
