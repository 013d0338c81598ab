"""What a quickstart found, as a table on the screen and as report.md."""

import dataclasses
import os
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from keras_llm.cli.console import command, shown
from keras_llm.cli.model import rounded
from keras_llm.files import write_text
from keras_llm.records import Record

PAGE, LOSS, FOUND = "report.md", "loss.png", "findings.json"
MEGA = 1e6


@dataclasses.dataclass(frozen=True, kw_only=True)
class Findings(Record):
    """What a quickstart found, ready to be shown.

    Args:
        facts: Name to value.
        artifacts: Rows of what computes in float32, Keras first.
        quantized: Rows of what is smaller and a little different.
        texts: Prompt to greedy continuation.
    """

    facts: dict[str, Any]
    artifacts: list[dict[str, str]]
    quantized: list[dict[str, str]]
    texts: dict[str, str]


def artifact_row(
    name: str,
    size: float,
    tokens_per_second: float | None,
    greedy_text: str = "",
) -> dict[str, str]:
    """Returns a row of the artifacts' table.

    Args:
        name: Path in the folder of artifacts.
        size: Bytes.
        tokens_per_second: Decode speed, one prompt.
        greedy_text: How it compares with Keras's.

    Example:

    >>> artifact_row("model", 2e6, 100.0, "equal")["MB"]
    '2.0'
    """
    return {
        "artifact": name,
        "MB": f"{size / MEGA:.1f}",
        "decode tokens/s": rounded(tokens_per_second, 0) or "",
        "greedy text": greedy_text,
    }


def quantized_row(
    row: dict[str, str], ratio: float, delta_nats: float
) -> dict[str, str]:
    """Returns an artifact's row with what quantization brings and costs.

    Example:

    >>> row = quantized_row(artifact_row("model", 2e6, 100.0), 3.5, 0.001)
    >>> row["times smaller"], row["nats/token lost"]
    ('3.5', '0.0010')
    """
    extra = {
        "times smaller": f"{ratio:.1f}",
        "nats/token lost": f"{delta_nats:z.4f}",
    }
    return {**row, **extra}


def likeness(text: str, expected: str) -> str:
    """Says how much of a text is equal.

    Example:

    >>> likeness("abc", "abc"), likeness("abx", "abc")
    ('equal', 'equal for 2 of 3 characters')
    """
    if text == expected:
        return "equal"
    same = len(os.path.commonprefix([text, expected]))
    return f"equal for {same} of {len(expected)} characters"


def write_page(folder: Path, found: Findings) -> None:
    """Writes `report.md` with the loss as a picture."""
    from keras_llm.evaluate import markdown_table, plot_loss
    from keras_llm.train import read_history

    plot_loss(read_history(folder / "model" / "metrics.jsonl"), folder / LOSS)
    facts = [{"fact": k, "value": shown(v)} for k, v in found.facts.items()]
    samples = "\n\n".join(
        f"```text\n{prompt}{text}\n```" for prompt, text in found.texts.items()
    )
    write_text(
        folder / PAGE,
        "# Quickstart report\n\n"
        f"{markdown_table(facts)}\n\n![Loss]({LOSS})\n\n"
        f"## Artifacts\n\n{markdown_table(found.artifacts)}\n\n"
        f"## Quantized\n\n{markdown_table(found.quantized)}\n\n"
        f"## Greedy text\n\n{samples}\n",
    )


def show(folder: Path, found: Findings, seconds: float) -> None:
    """Prints the tables and the three commands worth trying next.

    Args:
        folder: The quickstart's folder.
        found: What to show.
        seconds: How long it took; 0 for a run that was found complete.
    """
    console = Console()
    facts = Table(show_header=False, title_justify="left")
    facts.title = f"From text to artifacts in {seconds / 60:.1f} minutes"
    if not seconds:
        facts.title = f"Found in {folder}: this run is complete"
    for name, value in found.facts.items():
        facts.add_row(name, shown(value))
    console.print(facts)
    for rows in (found.artifacts, found.quantized):
        table = Table(*rows[0])
        for row in rows:
            table.add_row(*row.values())
        console.print(table)
    console.print(f"The page of this run: {folder / PAGE}. Next:")
    model = folder / "model"
    for line in (
        command("generate", "def ", "--model", model, "--temperature", "0.8"),
        command("serve", folder / "artifacts"),
        f"tensorboard --logdir {model / 'tensorboard'}",
    ):
        console.print(f"  {line}", soft_wrap=True, highlight=False)
