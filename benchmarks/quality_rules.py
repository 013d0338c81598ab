"""Quality rules: agreement with datatrove, recall by defect, speed.

    python benchmarks/quality_rules.py [--peer PYTHON]

1. Rule by rule on 2,000 real documents (tests/quality_documents.py): how
   many datatrove 0.10.1 drops, and on how many the two disagree. What
   datatrove says is recorded (tests/golden/make_quality.py).
2. Recall and false drops by defect of ../shared/data/dirty, all 4,100.
3. Megabytes per second of CPU time, one core, beside datatrove's: the
   recorded figure, or measured now with `--peer`, a Python that has
   datatrove, spacy, nltk and regex.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import quality_decisions as decisions  # noqa: E402
import quality_documents  # noqa: E402

from keras_llm.data import (  # noqa: E402
    Counts,
    Document,
    Step,
    gopher_quality,
    gopher_repetition,
    language,
    recipe,
)

CONSOLE = Console(width=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--peer", help="a Python with datatrove 0.10.1")
    peer = parser.parse_args().peer
    texts = [text for _, text in quality_documents.documents()]
    golden = measured(peer) if peer else decisions.GOLDEN
    CONSOLE.print(agreement(texts, golden))
    CONSOLE.print(defects())
    CONSOLE.print(speeds(texts[::5], json.loads(golden.read_text())))


def measured(python: str) -> Path:
    """Asks datatrove again, some minutes of CPU time."""
    path = Path(tempfile.mkdtemp()) / "quality_rules.json"
    script = ROOT / "tests" / "golden" / "make_quality.py"
    subprocess.run([python, script, path], check=True)
    return path


def agreement(texts: list[str], path: Path) -> Table:
    """Tabulates on how many documents the two disagree."""
    known = decisions.golden(texts, path)
    columns = ["rule", "datatrove drops", "we alone", "it alone", "other lines"]
    table = Table(*columns, title="2,000 real documents")
    for name, step in decisions.steps().items():
        found = decisions.differences(step, texts, known[name])
        kinds = Counter(kind for _, kind in found)
        drops = sum(decisions.dropped(known[name]))
        table.add_row(
            *map(
                str,
                (
                    name,
                    drops,
                    kinds["only we drop"],
                    kinds["only they drop"],
                    kinds["other lines"],
                ),
            )
        )
    return table


def defects() -> Table:
    """Tabulates which share of each defect the steps drop."""
    kinds: dict[str, list[str]] = {}
    for kind, text in quality_documents.dirty(quality_documents.DATA):
        kind = "other language" if " lang_" in kind else kind[6:]
        kinds.setdefault(kind, []).append(text)
    columns = {
        "gopher quality": [gopher_quality()],
        "repetition": [gopher_repetition()],
        "both": recipe("gopher", unit="paragraph"),
        "+ language": [language(), *recipe("gopher", unit="paragraph")],
        "fineweb (for pages!)": recipe("fineweb", unit="page"),
    }
    title = "share dropped, ../shared/data/dirty (paragraphs)"
    table = Table("defect", "documents", *columns, title=title)
    for kind, texts in kinds.items():
        shares = [drop_share(steps, texts) for steps in columns.values()]
        table.add_row(kind, str(len(texts)), *(f"{s:.3f}" for s in shares))
    return table


def drop_share(steps: list[Step], texts: list[str]) -> float:
    stream = [Document(text, str(n)) for n, text in enumerate(texts)]
    for step in steps:
        stream = list(step(stream, Counts(step.name)))
    return 1 - len(stream) / len(texts)


def speeds(texts: list[str], golden: dict) -> Table:
    """Tabulates megabytes per second of CPU time on every fifth document."""
    size = sum(len(text.encode()) for text in texts) / 1e6
    documents = [Document(text, "a") for text in texts]
    table = Table("step", "ours MB/s", "datatrove MB/s", "ratio", title="speed")
    for name, theirs in golden["megabytes_per_second"].items():
        step = decisions.whole(name)
        decisions.ask(step, "Builds the pattern.")
        start = time.process_time()
        list(step(documents, Counts(name)))
        ours = size / (time.process_time() - start)
        row = (f"{ours:.2f}", f"{theirs:.2f}", f"{ours / theirs:.1f}")
        table.add_row(name, *row)
    return table


if __name__ == "__main__":
    main()
