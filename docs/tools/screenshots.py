"""Makes docs/screenshots: `python docs/tools/screenshots.py`, some minutes.

A tiny model reads the standard library of this Python, then learns what a dozen
of its modules are for. Chromium looks at TensorBoard, at the playground and at
the report of that model. Nothing comes from the web; what the model needs stays
in runs/screenshots, so that a second run only looks.
"""

import argparse
import contextlib
import importlib
import io
import itertools
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image
from playwright.sync_api import sync_playwright

import keras_llm
from keras_llm.cli.board import open_board
from keras_llm.files import write_text
from keras_llm.visualize import attention_figure, log_figure

# TensorFlow's start-up notes are not news.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

ROOT = Path(__file__).resolve().parents[2]
KERAS_LLM = Path(sys.executable).with_name("keras-llm")
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
SETTLE = 3000  # milliseconds, for what fades in
PATIENCE = 300_000  # milliseconds, for a page on a busy machine
COLOURS = 128  # of a picture: a page has few, and the file is a third
MODULES = (
    *("bisect", "calendar", "colorsys", "copy", "glob", "heapq", "queue"),
    *("random", "shutil", "statistics", "tempfile", "textwrap", "zipfile"),
)
REPEATS = 10  # of the chats, so that a tiny model knows them by heart
ASKED = ("What is heapq for?", "And what is shutil for?")
CARD = (4.65, 2.15)  # inches of a picture that a card shows pixel by pixel
PLUGINS = "plugin-selector mat-form-field { visibility: hidden }"  # not in use
CARDS = "^(attention|(train|validation)/loss|train/learning_rate)$"
RESUMED = ("train", "finetune")  # the same command goes on, or is done
TRAINING = """
curate --standard-library --output corpus
tokenize corpus --output tokenizer --vocabulary-size 2048
pack corpus --tokenizer tokenizer --output rows --context-length 128
train rows --tokenizer tokenizer --output model --steps 240 --batch-size 8 \
--learning-rate 0.003 --validate-every 40 --detail-every 40
evaluate model --corpus corpus --output report
finetune chat model --data chats.jsonl --validation held.jsonl \
--template keras_llm --output tuned --steps 160 --batch-size 8 \
--learning-rate 0.002 --samples 1
"""


def main() -> None:
    """Trains what is missing, then takes the three pictures."""
    parser = argparse.ArgumentParser(description="Makes docs/screenshots.")
    parser.add_argument("--work", type=Path, default=ROOT / "runs/screenshots")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/screenshots")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    train(given.work)
    with browser() as chromium:
        shoot_report(chromium, given.work, given.out / "report.png")
        shoot_tensorboard(chromium, given.work, given.out / "tensorboard.png")
        shoot_playground(chromium, given.work, given.out / "playground.png")
    for picture in sorted(given.out.glob("*.png")):
        print(f"{picture}: {picture.stat().st_size / 1000:.0f} kB")


# === The model ===


def train(work: Path) -> None:
    """Runs the verbs whose result is not there yet."""
    work.mkdir(parents=True, exist_ok=True)
    pairs = itertools.permutations(MODULES, 2)
    chats = "".join(json.dumps(chat(*pair)) + "\n" for pair in pairs)
    # What it learned by heart is also measured on: a picture, no claim.
    write_text(work / "held.jsonl", chats[: chats.index("\n") + 1])
    write_text(work / "chats.jsonl", chats * REPEATS)
    for line in TRAINING.strip().splitlines():
        words = line.split()
        output = work / words[words.index("--output") + 1]
        if words[0] in RESUMED or not output.exists():
            subprocess.run([KERAS_LLM, *words], cwd=work, check=True)
    board = work / "model" / "tensorboard" / "pictures"
    if not board.exists():
        draw_attention(work / "model", board)


def chat(first: str, second: str) -> dict[str, Any]:
    """A conversation about two modules."""
    said = (
        (f"What is {first} for?", first_line(first)),
        (f"And what is {second} for?", first_line(second)),
    )
    roles = ("user", "assistant")
    return {
        "messages": [
            {"role": role, "content": text}
            for turn in said
            for role, text in zip(roles, turn, strict=True)
        ]
    }


def first_line(module: str) -> str:
    """What a module of the standard library says of itself."""
    said = importlib.import_module(module).__doc__ or ""
    return said.strip().splitlines()[0].rstrip(".") + "."


def draw_attention(run: Path, board: Path) -> None:
    """Puts a picture of the trained model into its TensorBoard."""
    lm = keras_llm.zoo.load(run / "lm")
    ids = lm.tokenizer.encode("def read(path): return path")
    figure = attention_figure(lm, ids, heads=(0, 2))
    figure.set_size_inches(CARD)
    for panel in figure.axes[:-1]:
        panel.set(xlabel="", ylabel="")  # a card has little room
    log_figure(board, "attention", figure, step=240)


# === The pictures ===


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """Runs Chromium while the block runs."""
    with sync_playwright() as started:
        running = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield running
        running.close()


def opened(chromium: Any, url: str, height: int) -> Any:
    """A page of 1280 x `height`, without motion."""
    size = {"width": 1280, "height": height}
    page = chromium.new_page(viewport=size, reduced_motion="reduce")
    page.set_default_timeout(PATIENCE)
    page.goto(url)
    return page


def save(page: Any, path: Path) -> None:
    """Writes what the page shows with few colours, which is a third in size."""
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    page.close()


def shoot_report(chromium: Any, work: Path, path: Path) -> None:
    """The first screen of the report."""
    report = work / "report" / "report.html"
    save(opened(chromium, report.resolve().as_uri(), 660), path)


def shoot_tensorboard(chromium: Any, work: Path, path: Path) -> None:
    """Curves of the training and a picture, without the settings."""
    with open_board(work / "model", port=0) as url:
        query = f"?smoothing=0&tagFilter={quote(CARDS)}#timeseries"
        page = opened(chromium, url + query, 842)
        page.wait_for_selector("scalar-card .series-line, scalar-card path")
        page.add_style_tag(content=PLUGINS)
        page.get_by_label("Enable step selection").uncheck()
        # Else a chart is cut where its first values are.
        page.get_by_label("Ignore outliers in chart scaling").uncheck()
        page.get_by_role("button", name="Settings").last.click()
        page.wait_for_selector("settings-view", state="detached")
        page.wait_for_selector("mat-spinner", state="detached")
        page.mouse.move(640, 90)
        page.wait_for_timeout(SETTLE)
        save(page, path)


def shoot_playground(chromium: Any, work: Path, path: Path) -> None:
    """Two answers; of a token of the last one: what else was likely."""
    with serving(work / "tuned", work / "feedback.sqlite") as url:
        page = opened(chromium, url, 800)
        page.wait_for_selector("#model:not(:text-is('connecting…'))")
        page.fill("[name=temperature]", "0.2")
        ask(page, *ASKED)  # what is compiled first is not what a picture shows
        page.click("#clear")
        ask(page, *ASKED)
        page.locator(".answer").last.locator(".token").nth(8).hover()
        page.wait_for_timeout(SETTLE)
        save(page, path)


def ask(page: Any, *questions: str) -> None:
    """Asks one after the other, each when the one before is answered."""
    for number, question in enumerate(questions):
        page.fill("#prompt", question)
        page.keyboard.press("Enter")
        done = ".answer[aria-busy=false] footer:visible"
        page.wait_for_selector(f"{done} >> nth={number}")


@contextlib.contextmanager
def serving(model: Path, feedback: Path) -> Iterator[str]:
    """Runs `keras-llm serve` while the block runs; yields its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [KERAS_LLM, "serve", model, "--port", str(port)]
    words += ["--name", "python-guide", "--feedback", feedback]
    with subprocess.Popen(words) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for(f"{url}/v1/models", process)
            yield url
        finally:
            process.terminate()


def wait_for(url: str, process: subprocess.Popen) -> None:
    """Waits until a server answers; ends where its process has ended."""
    for _ in range(PATIENCE // 1000):
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url):
                return
        except urllib.error.URLError:
            time.sleep(1)
    raise SystemExit(f"Expected an answer of {url}. Received none.")


if __name__ == "__main__":
    main()
