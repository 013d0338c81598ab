"""The report of docs/report.md: a small model on books it has not seen.

    python benchmarks/report.py --data ../shared/data --output runs/report_page

pretrains the small model of `_small_lm.py` where there is none yet, evaluates
it, and writes the report and, with Chromium, its pictures at two widths. The
searches for overlaps are timed, too.
"""

import argparse
import json
import resource
import time
from pathlib import Path
from typing import Any

from _small_lm import BOOKS, cut, read, small_lm

from keras_llm.data import Document, open_rows, pack_corpus
from keras_llm.evaluate import (
    contamination,
    language_report,
    memorization,
    write_report,
)

HELD_OUT = (
    "gutenberg/Moby-Dick--Or-The-Whale_2701.txt",
    "tinyshakespeare/input.txt",
    "gutenberg/Don-Quijote_2000.latin1.txt",
)
PIECES = 24  # of each held-out text
WIDTHS = {"desktop": 1280, "phone": 390}


def pieces(data: Path, name: str) -> list[Document]:
    """Pieces of a text, named like its file."""
    return [Document(text, Path(name).name) for text in cut(read(data / name))]


def timed(name: str, work: Any, size: float, unit: str) -> Any:
    """Does some work and prints how fast it went."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{name}: {size / cpu:.1f} {unit} per CPU second, {wall:.1f} s wall, "
        f"peak {peak:.0f} MB"
    )
    return found


def findings(lm: Any, data: Path, output: Path) -> list[Any]:
    """Evaluates the model in three ways."""
    trained = [one for name in BOOKS for one in pieces(data, name)]
    held_out = [
        one for name in HELD_OUT for one in pieces(data, name)[40 : 40 + PIECES]
    ]
    pack_corpus(
        trained, lm.tokenizer, output / "rows", lm.config.context_length
    )
    rows = open_rows(output / "rows")
    prompts = [one.text[:80] for one in trained[:: len(trained) // 40]]
    samples = lm.generate(prompts, max_new_tokens=100, temperature=0.7, seed=1)
    lines = (data / "lm_bench/arc_easy.jsonl").read_text().splitlines()
    items = [
        f"{one['query']} {one['choices'][one['gold']]}"
        for one in map(json.loads, lines)
    ]
    size = sum(len(one.text.encode()) for one in trained) / 1e6
    return [
        language_report(lm, held_out),
        timed(
            "memorization",
            lambda: memorization(samples, rows, lm.tokenizer, shortest=6),
            rows.info.tokens / 1e6,
            "million tokens",
        ),
        timed(
            "contamination",
            lambda: contamination({"arc_easy": items}, trained),
            size,
            "MB",
        ),
    ]


def take_pictures(page: Path, output: Path, height: int = 1000) -> None:
    """Photographs the first screen on a desk and on a phone."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"]
        )
        for name, width in WIDTHS.items():
            view = browser.new_page(viewport={"width": width, "height": height})
            view.goto(page.resolve().as_uri())
            view.screenshot(path=output / f"{name}.png")
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default="../shared/data")
    parser.add_argument("--output", type=Path, default="runs/report_page")
    parser.add_argument("--steps", type=int, default=120)
    options = parser.parse_args()
    lm = small_lm(options.data, options.output / "small", options.steps)
    report = write_report(
        options.output / "report",
        findings(lm, options.data, options.output),
        title="A small model on books it has not seen",
        about="Four blocks, 256 wide, a few minutes of training.",
        seed=0,
        sources={
            "model": options.output / "small" / "lm",
            "tokenizer": lm.tokenizer.fingerprint,
        },
    )
    print(report.html)
    take_pictures(report.html, options.output)


if __name__ == "__main__":
    main()
