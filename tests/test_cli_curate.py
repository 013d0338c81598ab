"""The steps of `keras-llm curate` that options ask for, on a small corpus."""

import json

import pytest
from test_cli_corpus import done, folder, run

from keras_llm.cli.curate_options import Asked

assert folder  # the fixture

PAGE = (
    "The people of the town have seen that the roses grow well in the sun. "
    "Some of them water the garden every evening, and others only on Sunday. "
)


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_option_adds_its_step_in_order(folder):
    (folder / "bench.txt").write_text("A " + "thorn is sharp and red " * 9)
    (folder / "terms.txt").write_text("nettle\n")
    (folder / "out.txt").write_text("example.org\n")
    asked = Asked(
        clean=True,
        recipe="gopher",
        unit="paragraph",
        languages="en, de",
        block_list=folder / "terms.txt",
        near_duplicates=0.9,
        repeated_lines=50,
        decontaminate=(folder / "bench.txt",),
        privacy=True,
        licenses="mit",
        opt_out=folder / "out.txt",
        longest=5000,
    )
    assert [step.name for step in asked.steps()] == [
        *("repair", "licenses", "opt_out", "control_characters"),
        *("html_leftovers", "gutenberg", "boilerplate_lines", "white_space"),
        *("split_long", "minimum_length", "language", "gopher_quality"),
        *("gopher_repetition", "blocked_terms", "exact_duplicates"),
        *("repeated_lines", "near_duplicates", "decontaminate", "privacy"),
    ]


def test_texts_are_cleaned_and_persons_hidden(folder):
    for number in range(4):
        text = f"{PAGE * 3} Write to rose{number}@example.org, house {number}."
        text = f"<p>{text}</p>\x07\n\n\n\n\nThe end of part {number}."
        (folder / "notes" / f"page{number}.txt").write_text(text)
    shown = done(
        *("curate", "notes", "--clean", "--privacy"),
        *("--near-duplicates", "0.5", "--heldout", "0"),
    )
    texts = [one["text"] for one in lines(folder / "runs/corpus/train.jsonl")]
    pages = [text for text in texts if "Sunday" in text]
    assert len(pages) == 1  # the others are near duplicates
    assert "@" not in pages[0] and "<p>" not in pages[0]
    assert "\x07" not in pages[0] and "\n\n\n\n" not in pages[0]
    assert "dropped: " in shown
    steps = json.loads((folder / "runs/corpus/curate.json").read_text())
    assert [one["step"] for one in steps["steps"]][-1] == "privacy"


def test_benchmarks_are_kept_out(folder):
    (folder / "bench.jsonl").write_text(json.dumps({"text": PAGE}))
    (folder / "notes" / "leak.txt").write_text(f"Before. {PAGE} After. " * 2)
    done("curate", "notes", "--decontaminate", "bench.jsonl")
    kept = (folder / "runs/corpus/train.jsonl").read_text()
    kept += (folder / "runs/corpus/heldout.jsonl").read_text()
    assert "Sunday" not in kept and "Chapter" in kept


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--recipe", "gopher"), "Expected --unit page"),
        (("--recipe", "goofer", "--unit", "page"), "gopher"),
        (("--recipe", "fineweb", "--unit", "paragraph"), "paragraph"),
        (("--near-duplicates", "7"), "7"),
        (("--decontaminate", "nowhere"), "nowhere"),
        (("--block-list", "nowhere"), "nowhere"),
        (("--opt-out", "nowhere"), "nowhere"),
    ],
)
def test_a_mistake_is_a_sentence(folder, words, said):
    answer = run("curate", "notes", *words)
    assert answer.exit_code == 2, answer.output
    assert said in answer.stderr and "Expected" in answer.stderr
