"""Tasks as instructions: worded in turn, read back as they were meant."""

import json

import pytest
from tuning_examples import BYTES

from keras_llm import InputError
from keras_llm.tune import (
    TASKS,
    as_instructions,
    chat_rows,
    read_answer,
    read_labelled,
)

RECORDS = {
    "summarize": {"text": "{A} long text", "summary": "A text"},
    "translate": {
        "text": "Hallo",
        "source": "German",
        "target": "English",
        "translation": "Hello",
    },
    "answer": {"context": "Rome fell.", "question": "Who?", "answer": "Rome"},
    "sentiment": {"text": "Good", "choices": "good or bad", "label": "good"},
    "rewrite": {"text": "Hey", "style": "polite", "rewritten": "Dear Sir"},
}


@pytest.mark.parametrize("name", TASKS)
def test_tasks_are_worded_in_turn(name):
    record, task = RECORDS[name], TASKS[name]
    count = len(task.wordings)
    made = list(as_instructions(name, [record] * (count + 1)))
    questions, answers = (
        [one.messages[place]["content"] for one in made] for place in (0, 1)
    )
    assert {*answers} == {record[task.answer]}
    assert len({*questions}) == count and questions[0] == questions[-1]
    assert all(record[task.fields[0]] in question for question in questions)
    assert questions[1] == task.prompt(record, 1)
    assert [one.line for one in made] == [*range(1, count + 2)]


def test_tasks_of_real_sets(shared_data):
    tldr = (shared_data / "scitldr" / "dev.jsonl").read_text("utf-8")
    papers = [
        {"text": " ".join(paper["source"]), "summary": paper["target"][0]}
        for paper in map(json.loads, tldr.splitlines())
    ]
    made = list(as_instructions("summarize", papers))
    assert len(made) == len(papers) == 619

    folder = shared_data / "tatoeba"
    german, english = (
        (folder / f"tatoeba.deu-eng.{end}").read_text("utf-8").splitlines()
        for end in ("deu", "eng")
    )
    sentences = [
        {"text": text, "translation": translation}
        for text, translation in zip(german, english, strict=True)
    ]
    languages = dict(source="German", target="English")
    made = list(as_instructions("translate", sentences, **languages))
    assert len(made) == 1000

    squad = json.loads((shared_data / "xquad" / "xquad.en.json").read_text())
    questions = [
        {
            "context": paragraph["context"],
            "question": question["question"],
            "answer": question["answers"][0]["text"],
        }
        for article in squad["data"]
        for paragraph in article["paragraphs"]
        for question in paragraph["qas"]
    ]
    made = list(as_instructions("answer", questions))
    assert len(made) == 1190

    path = shared_data / "uci_sentiment" / "yelp_labelled.txt"
    reviews = [
        {"text": one.text, "label": one.labels[0]}
        for one in read_labelled(path)
    ]
    words = {"0": "negative", "1": "positive"}
    choices = dict(choices="positive or negative")
    made = list(as_instructions("sentiment", reviews, None, words, **choices))
    told = [one.messages[1]["content"] for one in made]
    assert told.count("positive") == told.count("negative") == 500
    rows = chat_rows(made, BYTES, None, 512)
    assert rows.weights.sum() == 1000 * (len("positive") + 1)


def test_fields_of_other_names_and_words_for_labels():
    records = [{"a": "Hallo", "b": "Hello"}, {"a": "Tag", "b": "Day"}]
    made = list(
        as_instructions(
            "translate",
            records,
            names={"text": "a", "translation": "b"},
            source="German",
            target="English",
        )
    )
    assert made[1].messages[0]["content"] == (
        "Translate this German text into English:\n\nTag"
    )
    with pytest.raises(InputError, match=r"'summary'.*record 1.*names="):
        list(as_instructions("summarize", [{"text": "a"}]))
    with pytest.raises(InputError, match=r"0, 1.*'2' in record 1"):
        record = {"text": "a", "label": "2"}
        words = {"0": "bad", "1": "good"}
        list(as_instructions("sentiment", [record], answers=words, choices="x"))
    with pytest.raises(InputError, match="'summarize', 'translate'"):
        as_instructions("summary", [])


@pytest.mark.parametrize(
    ("text", "choices", "expected"),
    [
        ("Positive.", ("negative", "positive"), "positive"),
        ("It is not nega but POSITIVE", ("nega", "Positive"), "nega"),
        ("unpositive", ("positive",), None),
        ("very good", ("good", "very good"), "very good"),
        ("", ("good",), None),
        (" a\n b ", (), "a b"),
    ],
)
def test_answers_are_read_back(text, choices, expected):
    assert read_answer(text, choices) == expected
