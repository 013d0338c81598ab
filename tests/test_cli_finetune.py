"""keras-llm finetune on tiny models and files, as a person would run it."""

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml
from commands import check_verb
from test_cli_corpus import next_commands, run
from test_cli_model import must
from tiny_tuning import language_model

from keras_llm import CausalLM, adapters
from keras_llm.classify import Classifier, Tagger
from keras_llm.cli import (
    finetune,
    finetune_answers,
    finetune_grpo,
    finetune_labels,
    finetune_run,
)
from keras_llm.cli.finetune_data import cut, instructions, texts_of
from keras_llm.cli.finetune_tasks import ChatOptions, TextOptions
from keras_llm.errors import InputError
from keras_llm.tune import RewardModel, TuneReport, Tuning
from keras_llm.zoo import recipes

MODULES = (finetune, finetune_answers, finetune_grpo, finetune_labels)
LORA = {"lora": 2, "lora_targets": ["query", "mlp/up"]}
FLAVOURS = {
    "text": {"data": ["notes.txt"], "replay": "general.jsonl", **LORA},
    "chat": {
        "data": "chats.jsonl",
        "template": "keras_llm",
        "train": "last_1",
        "neftune": 5,
        "samples": 3,
    },
    "classify": {
        "data": "sms.tsv",
        "pooling": "mean",
        "class-weights": "ham=1,spam=2",
        "calibrate": True,
        "bits": 8,
        **LORA,
    },
    "tokens": {"data": "towns.conll", "echo": True},
    "prefer": {"data": "pairs.jsonl", "loss": "dpo", "merge": True, **LORA},
    "reward": {"data": "pairs.jsonl"},
    "grpo": {
        "data": "sums.jsonl",
        "reward": "checks:short",
        "group": 2,
        "batch_size": 4,
        "max_new_tokens": 3,
    },
}
MODELS = {
    "classify": ("classifier", Classifier),
    "tokens": ("classifier", Tagger),
    "reward": ("reward", RewardModel),
}


def write_lines(name: str, records: list[dict]) -> None:
    Path(name).write_text("".join(json.dumps(r) + "\n" for r in records))


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder with a model and data of every kind."""
    folder = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        language_model(num_layers=1).save("model")
        numbers = range(20)
        Path("notes.txt").write_text("a rose is red\n" * 60)
        write_lines(
            "general.jsonl", [{"text": f"so {n} " * 9} for n in range(20)]
        )
        write_lines(
            "chats.jsonl",
            [
                {"prompt": f"Say {n}", "completion": f"It is {n}"}
                for n in numbers
            ],
        )
        rows = [("ham", "see you"), ("spam", "win now")] * 10
        Path("sms.tsv").write_text(
            "".join(
                f"{label}\t{text} {n}\n" for n, (label, text) in enumerate(rows)
            )
        )
        Path("towns.conll").write_text(
            "".join(f"in O\nRome{n} B-town\n\n" for n in numbers)
        )
        write_lines(
            "pairs.jsonl",
            [
                {"prompt": f"Say {n}", "chosen": "yes", "rejected": "no"}
                for n in numbers
            ],
        )
        write_lines(
            "sums.jsonl", [{"prompt": f"{n}+1=", "answer": n} for n in numbers]
        )
        Path("checks.py").write_text(
            "def short(prompt, answer, record):\n    return -len(answer)\n"
        )
        for name, options in FLAVOURS.items():
            Path(f"{name}.yaml").write_text(yaml.safe_dump(options))
    return folder


@pytest.fixture
def here(work, monkeypatch):
    monkeypatch.chdir(work)
    return work


def tuned(name: str, *words: object) -> str:
    """Runs a flavour from its YAML file for two steps."""
    return must(
        *("finetune", name, "model", "--config", f"{name}.yaml"),
        *("--steps", 2, "--output", f"runs/{name}"),
        *words,
    )


@pytest.mark.parametrize("name", FLAVOURS)
def test_every_flavour_runs_from_yaml(here, name, monkeypatch):
    shown = tuned(name)
    out = Path("runs") / name
    told = Tuning.load(out / "tuning.json")
    report = TuneReport.load(out / "tuning_report.json")
    assert told.kind == report.kind == name
    assert report.train["steps"] == 2 and report.after
    for card in {out / "README.md", Path(report.model).parent / "README.md"}:
        text = card.read_text()
        assert told.tokenizer in text and "## Environment" in text
        assert told.data["train"]["fingerprint"] in text
    folder, kind = MODELS.get(name, ("lm", CausalLM))
    assert kind.load(out / folder) and report.model == str(out / folder)
    saved = json.loads((out / "finetune.json").read_text())
    assert saved["files"] and saved["options"]["steps"] == 2
    for found in next_commands(shown):
        check_verb(found)
    assert "tuned for" in must("info", out)
    # Told the same again, it answers at once and without TensorFlow.
    monkeypatch.setattr(finetune_run, "start_tensorflow", lambda: 1 / 0)
    assert tuned(name) == shown


def test_an_adapter_is_written_alone_too(here):
    tuned("prefer")
    lm = CausalLM.load("model")
    adapters.load_adapter(lm.model, "runs/prefer/adapter")
    assert adapters.lora_of(lm.model, "default").rank == 2
    merged = CausalLM.load("runs/prefer/merged")
    assert not adapters.adapter_names(merged.model)
    for text in ("LoRA of rank 2 on 2 layers", "tuned from"):
        assert text in must("info", "runs/prefer")


def test_chat_prints_held_out_answers(here):
    assert len(re.findall(r"(?m)^-> ", tuned("chat"))) >= 1


def given(monkeypatch, *words: object):
    """Returns the options that a command line comes to."""
    taken = []
    for module in MODULES:
        monkeypatch.setattr(module, "run", lambda *all_: taken.append(all_[1]))
    must("finetune", *words)
    return taken[0]


@pytest.mark.parametrize("name", FLAVOURS)
def test_flags_say_the_same_as_yaml(here, name, monkeypatch):
    words = []
    for key, value in FLAVOURS[name].items():
        words.append(f"--{key.replace('_', '-')}")
        if isinstance(value, list):
            value = value[0] if key == "data" else ",".join(value)
        words += [] if value is True else [value]
    flags = given(monkeypatch, name, "model", *words).to_dict()
    file = given(monkeypatch, name, "model", "--config", f"{name}.yaml")
    assert flags == file.to_dict() | {"config": None}


def test_flags_win_over_the_file(here, monkeypatch):
    Path("mine.yaml").write_text("epochs: 2\nseed: 5\nlora-alpha: 3\nlora: 4")
    words = ("chat", "model", "--config", "mine.yaml", "--data", "chats.jsonl")
    found = given(monkeypatch, *words, "--seed", 7, "--minutes", 1)
    assert (found.seed, found.epochs, found.minutes) == (7, None, 1.0)
    assert found.adapter()["alpha"] == 3.0
    assert given(monkeypatch, *words).epochs == 2.0


@pytest.mark.parametrize("name", recipes.names())
def test_a_recipe_is_understood(here, name, monkeypatch):
    first = recipes.path(name).read_text().splitlines()[0]
    words = shlex.split(first.removeprefix("# keras-llm "))
    assert words[-2:] == ["--config", name]
    check_verb(words)
    found = given(monkeypatch, *words[1:]).to_dict()
    values = yaml.safe_load(recipes.path(name).read_text())
    assert {key: found[key] for key in values} == values


def test_a_stopped_run_goes_on(here, monkeypatch):
    words = ("finetune", "text", "model", "--data", "notes.txt")
    words += ("--steps", 4, "--output", "runs/stopped")
    with monkeypatch.context() as patch:

        def stop(*_, **__):
            raise KeyboardInterrupt

        patch.setattr("keras_llm.tune.run.finish", stop)
        answer = run(*words)
    assert answer.exit_code == 130 and "same command again" in answer.stderr
    history = Path("runs/stopped/metrics.jsonl").read_text()
    assert "bits per byte" in must(*words)
    assert Path("runs/stopped/metrics.jsonl").read_text() == history


def test_another_run_in_the_folder_is_refused_by_name(here):
    tuned("text")
    for words, says in (
        (("--seed", 3), "--seed was 0 and is 3"),
        (("--train", "all", "--lora", 4), "--lora was 2 and is 4"),
    ):
        answer = run(
            *("finetune", "text", "model", "--config", "text.yaml"),
            *("--steps", 2, "--output", "runs/text", *words),
        )
        assert answer.exit_code == 2 and says in answer.stderr
    answer = run(
        *("finetune", "chat", "model", "--data", "chats.jsonl"),
        *("--output", "runs/text"),
    )
    assert "a run of `finetune text`" in answer.stderr


def test_other_data_in_the_folder_is_refused(here):
    words = ("finetune", "text", "model", "--data", "more.txt", "--steps", 1)
    words += ("--output", "runs/more")
    Path("more.txt").write_text("a rose\n" * 40)
    must(*words)
    Path("more.txt").write_text("a violet\n" * 40)
    answer = run(*words)
    assert answer.exit_code == 2
    assert "more.txt has another content" in answer.stderr


def test_a_teacher_teaches_by_logits_and_by_answers(here):
    words = ("finetune", "chat", "model", "--data", "chats.jsonl")
    words += ("--teacher", "model", "--steps", 1, "--samples", 0)
    shown = must(*words, "--output", "runs/logits")
    assert "divergence" in shown
    out = Path("runs/answers")
    must(*words, "--distill", "answers", "--too-long", "cut", "--output", out)
    [file] = out.glob("teacher-*.jsonl")
    first = json.loads(file.read_text().splitlines()[0])
    assert [m["role"] for m in first["messages"]] == ["user", "assistant"]


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
    assert 0.2 < len(held[0]) / len(whole) < 0.25
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
