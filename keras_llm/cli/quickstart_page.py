"""What a quickstart found, as a table on the screen and as report.md."""

import dataclasses
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from keras_llm.cli.console import command, shown
from keras_llm.cli.model import rounded
from keras_llm.files import write_text

PAGE, LOSS = "report.md", "loss.png"
MEGA = 1e6


@dataclasses.dataclass(frozen=True)
class Findings:
    """What a quickstart found: facts, artifacts, and text of each prompt."""

    facts: dict[str, Any]
    artifacts: list[dict[str, str]]
    texts: dict[str, str]


def artifact_row(
    name: str,
    size: float,
    tokens_per_second: float | None,
    equal: bool | None = None,
    delta_nats: float | None = None,
) -> dict[str, str]:
    """Returns a row of the artifacts' table.

    Args:
        name: Path in the quickstart's folder.
        size: Bytes.
        tokens_per_second: Decode speed, one prompt.
        equal: Whether its greedy text is Keras's.
        delta_nats: Nats per token lost to quantization.

    Example:

    >>> artifact_row("model", 2e6, 100.0, True)["greedy text"]
    'equal'
    """
    compared = {None: "", True: "equal", False: "differs"}
    return {
        "artifact": name,
        "MB": f"{size / MEGA:.1f}",
        "decode tokens/s": rounded(tokens_per_second, 0) or "",
        "greedy text": compared[equal],
        "nats/token lost": "" if delta_nats is None else f"{delta_nats:z.4f}",
    }


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
        f"## Greedy text\n\n{samples}\n",
    )


def show(folder: Path, found: Findings, seconds: float) -> None:
    """Prints both tables and the three commands worth trying next."""
    console = Console()
    facts = Table(show_header=False, title_justify="left")
    facts.title = f"From text to artifacts in {seconds / 60:.1f} minutes"
    for name, value in found.facts.items():
        facts.add_row(name, shown(value))
    artifacts = Table(*found.artifacts[0])
    for row in found.artifacts:
        artifacts.add_row(*row.values())
    console.print(facts, artifacts)
    console.print(f"The page of this run: {folder / PAGE}. Next:")
    model = folder / "model"
    for line in (
        command("generate", "def ", "--model", model, "--temperature", "0.8"),
        command("serve", folder / "artifacts"),
        f"tensorboard --logdir {model / 'tensorboard'}",
    ):
        console.print(f"  {line}", soft_wrap=True, highlight=False)
