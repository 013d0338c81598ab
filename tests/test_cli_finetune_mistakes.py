"""keras-llm finetune: mistakes as sentences, and what it reads."""

from pathlib import Path

import pytest
from test_cli_corpus import run
from test_cli_model import must
from tuning_files import fill, write_lines

from keras_llm.cli.finetune_data import cut, instructions, texts_of
from keras_llm.cli.finetune_tasks import ChatOptions, TextOptions
from keras_llm.errors import InputError


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return fill(tmp_path_factory.mktemp("work"))


@pytest.fixture
def here(work, monkeypatch):
    monkeypatch.chdir(work)
    return work


def bad(name: str, *lines: str) -> str:
    Path(name).write_text("\n".join(lines) + "\n")
    return name


MISTAKES = [
    (("chat", "model"), "Expected --data FILE"),
    (("chat", "model", "--data", "no.jsonl"), "no.jsonl, which does not exist"),
    (("chat", "nowhere", "--data", "chats.jsonl"), "at nowhere"),
    (("chat", "model", "--data", "bad.jsonl"), "bad.jsonl, line 2"),
    (("chat", "model", "--data", "notes.txt"), "notes.txt, line 1"),
    (
        ("chat", "model", "--data", "chats.jsonl", "--template", "chatmL"),
        "chatml",
    ),
    (
        ("chat", "model", "--data", "chats.jsonl", "--learn", "some"),
        "Expected --learn to be one of 'answers'",
    ),
    (
        ("chat", "model", "--data", "chats.jsonl", "--field", "a=b"),
        "Expected --task with --field",
    ),
    (
        ("chat", "model", "--data", "chats.jsonl", "--task", "sing"),
        "Expected task to be one of 'summarize'",
    ),
    (
        ("chat", "model", "--data", "chats.jsonl", "--task", "summarize"),
        "chats.jsonl, line 1",
    ),
    (
        ("chat", "model", "--data", "chats.jsonl", "--dora"),
        "Expected --lora RANK with --dora",
    ),
    (
        ("chat", "model", "--data", "chats.jsonl", "--bits", 4),
        "LoRA adapter over integers",
    ),
    (
        (
            *("chat", "model", "--data", "chats.jsonl"),
            *("--steps", 1, "--epochs", 1),
        ),
        "one of epochs",
    ),
    (
        (
            "chat",
            "model",
            "--data",
            "chats.jsonl",
            "--lora",
            2,
            "--lora-targets",
            "qeury",
        ),
        "Received: qeury",
    ),
    (("chat", "--config", "no.yaml"), "chat-lora, chat-qlora"),
    (("chat", "--config", "key.yaml"), "Did you mean lora_targets?"),
    (("chat", "--config", "list.yaml"), "Expected values by name"),
    (("chat", "--config", "broken.yaml"), "Expected YAML"),
    (("chat", "--config", "classify"), "Received: calibrate, class_weights"),
    (
        ("classify", "model", "--data", "sms.tsv", "--validation", "new.tsv"),
        "'eggs', new.tsv, line 1",
    ),
    (
        ("classify", "model", "--data", "sms.tsv", "--pooling", "max"),
        "Expected --pooling to be one of",
    ),
    (
        ("classify", "model", "--data", "sms.tsv", "--class-weights", "ham=x"),
        "LABEL=NUMBER",
    ),
    (
        (
            *("classify", "model", "--data", "sms.tsv", "--hold-out", 0),
            "--calibrate",
        ),
        "held-out texts for --calibrate",
    ),
    (
        ("classify", "model", "--data", "sms.tsv", "--bits", 8),
        "Expected --lora RANK over integers",
    ),
    (
        ("tokens", "model", "--data", "towns.conll", "--place", "mid"),
        "Expected --place to be one of",
    ),
    (
        ("prefer", "model", "--data", "pairs.jsonl", "--loss", "ppo"),
        "Expected --loss to be one of",
    ),
    (("prefer", "model", "--data", "chats.jsonl"), "chats.jsonl, line 1"),
    (
        ("grpo", "model", "--data", "sums.jsonl", "--reward", "fame"),
        "Expected --reward exact",
    ),
    (
        ("grpo", "model", "--data", "sums.jsonl", "--reward", "no_such:f"),
        "No module named",
    ),
    (
        ("text", "model", "--data", "notes.txt", "--output", "model"),
        "which holds README.md",
    ),
    (
        ("text", "model", "--data", "notes.txt", "--output", "notes.txt"),
        "which is a file",
    ),
]


@pytest.mark.parametrize(("words", "says"), MISTAKES)
def test_a_mistake_is_a_sentence(here, words, says):
    bad("bad.jsonl", '{"prompt": "a", "completion": "b"}', '{"prompt": "a"}')
    bad("new.tsv", "eggs\tno spam", "ham\tno eggs", "ham\tno ham")
    bad("key.yaml", "lora_target: query")
    bad("list.yaml", "- lora")
    bad("broken.yaml", "lora: [")
    output = () if "--output" in words else ("--output", "x")
    answer = run("finetune", *words, *output)
    assert answer.exit_code == 2, answer.output
    assert says in " ".join(answer.stderr.split())
    assert "Traceback" not in answer.output
    assert not list(Path("x").glob("train.json"))


def test_a_mistake_leaves_no_run_behind(here):
    words = ("finetune", "chat", "model", "--data", "chats.jsonl")
    words += ("--output", "y", "--samples", 0, "--steps", 1)
    assert run(*words, "--lora", 2, "--lora-targets", "qeury").exit_code == 2
    must(*words, "--lora", 2)


def test_tasks_are_read_with_names_and_words(here):
    write_lines(
        "films.jsonl",
        [{"review": "Loved it.", "y": "1"}, {"review": "", "y": "0"}],
    )
    options = ChatOptions(
        task="sentiment",
        field=["text=review", "label=y"],
        same=["choices=good or bad"],
        answer=["0=bad", "1=good"],
    )
    read = instructions(options, Path("films.jsonl"))
    first = next(read)
    assert first.messages[0]["content"].startswith("What is the sentiment")
    assert first.messages[1]["content"] == "good"
    with pytest.raises(InputError, match="films.jsonl, line 2"):
        next(read)


def test_few_texts_are_cut_and_many_are_held_out_whole(here):
    options = TextOptions(hold_out=0.25)
    learned, held = texts_of(options, [Path("notes.txt")])
    whole = Path("notes.txt").read_text()
    assert learned[0] + held[0] == whole
    assert 0.25 <= len(held[0]) / len(whole) < 0.3
    learned, held = texts_of(options, [Path("general.jsonl")])
    assert len(learned) + len(held) == 20 and not {*learned} & {*held}
    learned, held = texts_of(
        options, [Path("general.jsonl")], Path("notes.txt")
    )
    assert len(learned) == 20 and held == [whole]
    assert cut("no line break", 0.5) == ("no lin", "e break")


def test_a_corpus_has_its_own_held_out_part(here):
    texts = [{"text": f"Chapter {n}. " + "A rose. " * 40} for n in range(12)]
    write_lines("books.jsonl", texts)
    must("curate", "books.jsonl", "--heldout", 0.3, "--output", "corpus")
    learned, held = texts_of(TextOptions(), [Path("corpus")])
    assert len(learned) + len(held) == 12 and len(held) > 1
    assert texts_of(TextOptions(hold_out=0.0), [Path("corpus")])[1] == []
