"""`keras-llm label`: questions by pipe, answers on disk, none asked twice."""

import json

import keras
import pytest
from test_cli_corpus import run

from keras_llm.cli.answering import contestants, generated_pairs
from keras_llm.cli.asking import printable, shuffled
from keras_llm.errors import InputError
from keras_llm.feedback import Answer, FeedbackStore

TEXTS = ["Free entry", "Ok lar", "Win cash now"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts.txt").write_text("\n".join([*TEXTS, TEXTS[0], ""]))
    return tmp_path


@pytest.fixture
def pairs(folder):
    """A store with three answers to one prompt: three pairs."""
    with FeedbackStore("f.sqlite") as store:
        for key in "abc":
            store.add(
                Answer(id=key, prompt="Once", text=f"by {key}", model="m")
            )
        return store.open_pairs()


def label(*words, typed=""):
    answer = run("label", "f.sqlite", *words, typed=typed)
    assert answer.exit_code == 0, answer.output
    return answer.stdout


CLASSES = ("--texts", "texts.txt", "--labels", "ham,spam")


def test_labels_are_kept_and_not_asked_again(folder):
    shown = label(*CLASSES, "--annotator", "ada", typed="2\nwhat\nham\n")
    assert "1 of 3" in shown and "3 of 3" in shown  # the third has no answer
    assert "Expected one of 1, 2, s, q." in shown and "2 answered" in shown
    with FeedbackStore("f.sqlite") as store:
        assert store.labels() == {"Free entry": "spam", "Ok lar": "ham"}
        rows = list(store._rows("SELECT annotator, source FROM labels"))
    assert rows == [("ada", "texts.txt")] * 2
    shown = label(*CLASSES, typed="spam\n")
    assert "Free entry" not in shown and "3 of 3" in shown
    assert "1 answered" in shown and "0 answered" in label(*CLASSES)
    answer = run("feedback", "f.sqlite", "--labels", "labels.jsonl")
    assert answer.exit_code == 0 and "label spam" in answer.stdout
    written = (folder / "labels.jsonl").read_text().splitlines()
    lines = [json.loads(line) for line in written]
    assert lines == [
        {"text": "Free entry", "label": "spam"},
        {"text": "Ok lar", "label": "ham"},
        {"text": "Win cash now", "label": "spam"},
    ]


def test_skipped_texts_are_asked_again(folder):
    assert "1 answered, 1 skipped" in label(*CLASSES, typed="s\n1\nq\n")
    with FeedbackStore("f.sqlite") as store:
        assert store.labels() == {"Ok lar": "ham"}
    assert "Free entry" in label(*CLASSES)


def test_digits_can_be_classes(folder):
    label("--texts", "texts.txt", "--labels", "1,0", typed="1\n0\nquit\n")
    with FeedbackStore("f.sqlite") as store:
        assert store.labels() == {"Free entry": "1", "Ok lar": "0"}


@pytest.mark.parametrize(
    ("probabilities", "by"),
    [
        ([[0.9, 0.1], [0.8, 0.2], [0.5, 0.5]], "entropy"),
        ([[[1, 0], [1, 0]], [[0.5, 0.5]] * 2, [[1, 0], [0, 1]]], "bald"),
    ],
)
def test_the_most_useful_text_is_first(folder, probabilities, by):
    lines = [
        json.dumps({"text": text, "probabilities": p})
        for text, p in zip(TEXTS, probabilities, strict=True)
    ]
    (folder / "texts.jsonl").write_text("\n".join(lines))
    label("--texts", "texts.jsonl", "--labels", "a,b", "--by", by, typed="1\n")
    with FeedbackStore("f.sqlite") as store:
        assert store.labels() == {"Win cash now": "a"}


def test_pairs_of_the_store_are_asked_until_all_are_compared(pairs):
    shown = label(typed="1\nt\n")
    assert "1 of 3" in shown and "2 of 3" in shown and "2 answered" in shown
    first, second = shuffled(pairs[0])
    with FeedbackStore("f.sqlite") as store:
        choice = list(store._rows("SELECT chosen_id, rejected_id FROM choices"))
        assert choice == [(first.id, second.id)]
        assert store.compared_count() == 2 and len(store.open_pairs()) == 1
    shown = label(typed="2\n")
    assert "3 of 3" in shown and "1 of 3" not in shown
    first, second = shuffled(pairs[2])
    with FeedbackStore("f.sqlite") as store:
        assert store.open_pairs() == []
        assert store.compared(first.id, second.id)
        assert store.write_preferences("pairs.jsonl") == 2
    assert "0 answered" in label()


def test_a_correction_does_not_decide(pairs):
    label(typed="c2\n\nc2\n upon a time\n2\nq\n")
    _, second = shuffled(pairs[0])
    with FeedbackStore("f.sqlite") as store:
        counts = store.counts()
        assert counts["corrections"] == counts["choices"] == 1
        (said,) = store._rows("SELECT answer_id, correction FROM corrections")
    assert said == (second.id, " upon a time")


def test_the_order_on_the_screen_is_no_habit(pairs):
    assert shuffled(pairs[0]) == shuffled(pairs[0][::-1])
    many = [
        tuple(Answer(id=f"{i}{x}", prompt="", text="", model="") for x in "ab")
        for i in range(40)
    ]
    swapped = sum(shuffled(pair)[0].id.endswith("b") for pair in many)
    assert 10 < swapped < 30


def test_a_text_cannot_steer_the_terminal(folder):
    assert "\x1b" not in printable("\x1b]0;title\x07").plain
    (folder / "texts.txt").write_text("[red]a\x1b[2J")
    shown = label(*CLASSES, typed="q\n")
    assert "\x1b[2J" not in shown and "[red]a" in shown


class Canned:
    """A model that answers with its settings."""

    asked: list = []
    model = keras.Sequential()  # without adapters

    def generate(self, prompt, temperature, seed, **_):
        self.asked.append(prompt)
        return f"{prompt} {temperature} {seed}"

    def chat(self, messages, **settings):
        yield self.generate(messages[-1]["content"], **settings)


def test_answers_are_generated_once_and_only_when_asked_for(
    folder, monkeypatch
):
    monkeypatch.setattr("keras_llm.cli.label._load", lambda model: Canned())
    monkeypatch.setattr(Canned, "asked", [])
    (folder / "prompts.txt").write_text("Once\nThere\nIn")
    words = ("--prompts", "prompts.txt", "--model", "m")
    label(*words, typed="1\n")
    assert Canned.asked == ["Once"] * 2 + ["There"] * 2
    shown = label(*words, typed="2\nt\n")
    assert Canned.asked[4:] == ["In"] * 2  # There was kept
    assert "2 of 3" in shown and "1 of 3" not in shown
    assert "0 answered" in label(*words)
    chats = label(*words, "--chat", typed="1\nq\n")
    assert "1 answered" in chats
    with FeedbackStore("f.sqlite") as store:
        assert store.prompts()[3] == [{"role": "user", "content": "Once"}]
        assert store.counts()["choices"] == 3
        (row, *_) = store._rows("SELECT settings, model FROM answers")
    assert json.loads(row[0])["temperature"] == 0.8 and row[1] == "m"


def test_two_ways_to_answer(folder):
    one, two = contestants(["m"], [0.7, 1.2], False, 8, 3)
    assert (one.settings["temperature"], two.settings["temperature"]) == (
        0.7,
        1.2,
    )
    assert one.settings["seed"] == two.settings["seed"] == 3
    one, two = contestants(["m", "n"], [0.0], False, 8, 3)
    assert (one.model, two.model) == ("m", "n")
    one, two = contestants(["m"], [], False, 8, 3)
    assert one.settings["seed"] + 1 == two.settings["seed"]


def test_equal_answers_are_not_asked_about(folder):
    both = contestants(["m", "n"], [0.0], False, 8, 0)
    with FeedbackStore("f.sqlite") as store:
        found = generated_pairs(store, ["Once"], both, lambda _: Canned())
        assert list(found) == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "keras-llm serve --feedback"),
        (("--texts", "texts.txt"), "--texts with --labels"),
        (("--prompts", "texts.txt"), "--prompts with --model"),
        ((*CLASSES[:2], "--labels", "a"), "two or more different"),
        ((*CLASSES[:2], "--labels", "a,s"), "Write them out"),
        ((*CLASSES, "--by", "entropy"), "in the same form"),
        (("--texts", "none.txt", "--labels", "a,b"), "none.txt"),
        (("--texts", "bad.jsonl", "--labels", "a,b"), "line 2"),
        ((*CLASSES, "--prompts", "p", "--model", "m"), "one after the other"),
    ],
)
def test_mistakes_are_sentences(folder, words, sentence):
    (folder / "bad.jsonl").write_text('{"text": "a"}\n{"words": "b"}\n')
    answer = run("label", "f.sqlite", *words)
    assert answer.exit_code == 2 and sentence in answer.stderr
    with pytest.raises(InputError, match="says the same twice"):
        contestants(["m"], [0.0], False, 8, 0)
