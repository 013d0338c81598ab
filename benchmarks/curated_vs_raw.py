"""Is a curated corpus better than the raw one? Same model, same tokens.

    python benchmarks/curated_vs_raw.py [--data ../shared/data]
        [--work runs/curated_vs_raw] [--steps 200] [--seeds 3]
        [--ablation-seeds 1] [--json PATH] [--plot PATH]

The corpus of `_dirty_corpus` (pages of books, WikiText-2 and Python's manual
as a crawl may have them, among copies, spam and other languages) is trained on
as it is, and after the steps of

    keras-llm curate --clean --languages en --near-duplicates 0.7
        --repeated-lines 20 [--recipe gopher --unit page]

All get one tokenizer (trained on the curated corpus, without a recipe), one
model, the same number of tokens and the same seeds; clean pages that none has
seen say how good they are. `--ablation-seeds` trains more: on the raw corpus
after one group of the steps alone, and with another recipe. A run that was
stopped goes on with the same command; what is done is not done again.
"""

import argparse
import collections
import itertools
import json
import math
import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from _dirty_corpus import clean_documents, polluted

from keras_llm import data, files
from keras_llm.cli.curate_options import Asked

VOCABULARY, CONTEXT, ROWS = 4096, 256, 8
LOOKS = 5  # validations of a run
HELD_OUT = 0.06
CLEANING = (
    *("repair", "control_characters", "html_leftovers", "gutenberg"),
    *("boilerplate_lines", "white_space", "repeated_lines"),
)
COPIES = ("exact_duplicates", "near_duplicates")
SOILED = {"furniture", "html", "mojibake", "truncated"}
MAIN = ("raw", "curated")
MORE = (
    *("curated, gopher", "curated, c4"),
    *("cleaned only", "copies only", "gopher only"),
)


def main() -> None:
    """Makes what is missing, and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument(
        "--work", type=Path, default=Path("runs/curated_vs_raw")
    )
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--ablation-seeds", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    arms = (*MAIN, *(MORE if options.ablation_seeds else ()))
    held, corpora = prepare(options.data, options.work, arms)
    show_corpora(corpora)
    results = collections.defaultdict(list)
    plan = itertools.chain(
        itertools.product(range(options.seeds), MAIN),
        itertools.product(range(options.ablation_seeds), MORE),
    )
    for seed, arm in plan:
        results[arm].append(done(options, arm, seed, held))
    show_results(results)
    if options.json:
        everything = {"corpora": corpora, "runs": results}
        files.write_text(options.json, json.dumps(everything, indent=1))
    if options.plot:
        plot(results, options.plot)


def prepare(
    folder: Path, work: Path, arms: tuple[str, ...]
) -> tuple[list[data.Document], dict]:
    """Returns the held-out pages, and what is in each corpus."""
    sides = list(data.hold_out(clean_documents(folder), HELD_OUT))
    held = [one for side, one in sides if side == "heldout"]
    clean = [one for side, one in sides if side == "train"]
    documents = polluted(clean, folder)
    return held, {arm: corpus(documents, arm, work) for arm in arms}


def steps_of(arm: str) -> list[data.Step]:
    """Returns the steps of a whole curation, or those of one group."""
    recipe = arm.removeprefix("curated, ").removesuffix(" only")
    recipe = recipe if recipe in ("gopher", "c4") else None
    steps = Asked(
        clean=True,
        recipe=recipe,
        unit=recipe and "page",
        languages="en",
        near_duplicates=0.7,
        repeated_lines=20,
    ).steps()
    kept = {
        "raw": lambda name: False,
        "cleaned only": lambda name: name in CLEANING,
        "copies only": lambda name: name in COPIES,
        "gopher only": lambda name: name.startswith("gopher"),
    }.get(arm, lambda name: True)
    return [step for step in steps if kept(step.name)]


def corpus(documents: list[data.Document], arm: str, work: Path) -> dict:
    """Returns how much of each kind of page is in a corpus.

    Where it does not stand there yet, it is written.
    """
    folder, summary = work / "corpora" / arm, work / f"{arm}.json"
    if not summary.is_file():
        begin = time.process_time()
        data.curate(documents, folder, 0, steps=steps_of(arm))
        seconds = time.process_time() - begin
        kinds = collections.defaultdict(lambda: [0, 0])
        domains = collections.Counter()
        for one in data.read_corpus(folder):
            size = len(one.text.encode())
            kind = kinds[one.metadata["dirt"]]
            kind[0], kind[1] = kind[0] + 1, kind[1] + size
            domains[domain(one)] += size
        found = {"kinds": kinds, "domains": domains, "seconds": seconds}
        files.write_text(summary, json.dumps(found, indent=1))
    return json.loads(summary.read_text(encoding="utf-8"))


def rows_of(work: Path, arm: str) -> tuple[Any, data.Rows]:
    """Returns the tokenizer of all corpora, and the packed rows of one."""
    from keras_llm.tokenizers import BytePairTokenizer, HostTokenizer

    learned = work / "tokenizer"
    if not learned.is_dir():
        pages = data.read_corpus(work / "corpora/curated")
        texts = (page.text for page in pages)
        HostTokenizer.train(texts, VOCABULARY, progress=False).save(learned)
    tokenizer = BytePairTokenizer.load(learned)
    rows = work / "rows" / arm
    if not rows.is_dir():
        data.pack_corpus(work / "corpora" / arm, tokenizer, rows, CONTEXT)
    return tokenizer, data.open_rows(rows)


def done(options: Any, arm: str, seed: int, held: list) -> dict[str, Any]:
    """Returns what a run came to; runs it where that is not known."""
    path = options.work / "results" / f"{arm}-{seed}-{options.steps}.json"
    if not path.is_file():
        found = run(options.work, arm, seed, options.steps, held)
        files.write_text(path, json.dumps(found))
    found = json.loads(path.read_text(encoding="utf-8"))
    print(f"{arm}, seed {seed}: {found['bits_per_byte']:.4f}", flush=True)
    return found


def run(
    work: Path, arm: str, seed: int, steps: int, held: list
) -> dict[str, Any]:
    """Trains one model on one corpus, and measures it on the clean pages."""
    import keras

    import keras_llm as kl

    tokenizer, rows = rows_of(work, arm)
    texts = [one.text for one in held]
    validation = kl.tune.text_rows_of(texts, tokenizer, CONTEXT)
    keras.utils.set_random_seed(seed)
    model = kl.build_decoder(
        kl.DecoderConfig(
            vocabulary_size=VOCABULARY,
            context_length=CONTEXT,
            num_layers=4,
            hidden_dim=192,
            num_heads=6,
        ),
        "float32",
    )
    every = max(steps // LOOKS, 1)
    out = work / "runs" / f"{arm}-{seed}-{steps}"
    report = kl.train.fit(
        model,
        rows,
        validation_rows=validation,
        out=out,
        steps=steps,
        batch_size=ROWS,
        learning_rate=3e-3,
        log_every=every,
        validate_every=every,
        checkpoint_every=every,
        sample_every=steps,
        keep=1,
        seed=seed,
    )
    lm = kl.CausalLM(model, tokenizer)
    found = kl.evaluate.language_report(lm, held, domain=domain)
    share = float(validation.weights.sum()) / len("".join(texts).encode())
    lines = (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    curve = [
        (line["step"], line["validation_loss"] * share / math.log(2))
        for line in map(json.loads, lines)
        if "validation_loss" in line
    ]
    return {
        "bits_per_byte": found.scores["bits_per_byte"].value,
        "domains": {
            row["domain"]: row["bits per byte"].value for row in found.domains
        },
        "curve": curve,
        "tokens": report.tokens,
        "epochs": steps * ROWS / len(rows),
        "parameters": report.parameters,
        "seconds": report.seconds,
    }


def domain(document: data.Document) -> str:
    """Returns the first part of a source."""
    return document.source.split("/")[0]


def show_corpora(corpora: dict[str, dict]) -> None:
    """Prints pages by kind, of the raw corpus and after each curation."""
    from keras_llm.evaluate import markdown_table

    counts = {arm: summed(one["kinds"]) for arm, one in corpora.items()}
    rows = [
        {"pages": kind}
        | {arm: f"{one[kind][0]:,}" for arm, one in counts.items()}
        for kind in counts["raw"]
    ]
    sums = {arm: sum(n for _, n in one.values()) for arm, one in counts.items()}
    rows.append(
        {"pages": "all, MB"}
        | {arm: f"{n / 1e6:.2f}" for arm, n in sums.items()}
    )
    print(markdown_table(rows, list(corpora)), "\n")


def summed(kinds: dict[str, list[int]]) -> dict[str, list[int]]:
    """Joins pages whose dirt is of several kinds to one row."""
    found = collections.defaultdict(lambda: [0, 0])
    for kind, (pages, size) in sorted(kinds.items()):
        name = "soiled" if SOILED & set(kind.split("+")) else kind
        found[name][0] += pages
        found[name][1] += size
    return found


def show_results(results: dict[str, list[dict]]) -> None:
    """Prints bits per byte by corpus: mean and spread over the seeds."""
    import numpy as np

    from keras_llm.evaluate import markdown_table

    domains = list(results["raw"][0]["domains"])
    rows = []
    for arm, runs in results.items():
        scores = {
            "all": [one["bits_per_byte"] for one in runs],
            **{d: [one["domains"][d] for one in runs] for d in domains},
        }
        cells = {
            name: f"{np.mean(values):.3f}"
            + (f" ± {np.std(values, ddof=1):.3f}" if len(runs) > 1 else "")
            for name, values in scores.items()
        }
        head = {"corpus": arm, "seeds": len(runs)}
        rows.append(head | cells | {"epochs": f"{runs[0]['epochs']:.2f}"})
    print("\n" + markdown_table(rows, list(rows[0])[1:]))


def plot(results: dict[str, list[dict]], path: Path) -> None:
    """Draws the mean of the seeds, and their range, over the steps."""
    import numpy as np

    from keras_llm.figures import new_figure

    figure = new_figure(7, 4)
    axes = figure.subplots()
    for arm in MAIN:
        curves = np.array([one["curve"] for one in results[arm]])
        steps, values = curves[0, :, 0], curves[:, :, 1]
        (line,) = axes.plot(steps, values.mean(0), "o-", label=arm)
        axes.fill_between(
            steps,
            values.min(0),
            values.max(0),
            color=line.get_color(),
            alpha=0.25,
        )
    each = results["raw"][0]["tokens"] / results["raw"][0]["curve"][-1][0]
    axes.set(
        xlabel=f"steps of {each:,.0f} tokens",
        ylabel="bits per byte of clean held-out pages",
    )
    axes.grid(alpha=0.3)
    axes.legend()
    with files.atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


if __name__ == "__main__":
    main()
