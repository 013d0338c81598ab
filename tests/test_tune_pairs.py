"""Files of preferences: the forms in use, and what is wrong by line."""

import json

import pytest
from tuning_examples import HI, MORE, lines, missing_parts

from keras_llm.errors import InputError
from keras_llm.feedback import Answer, FeedbackStore
from keras_llm.tune import (
    read_conversations,
    read_labelled,
    read_pairs,
    read_ratings,
    read_tagged,
)


@pytest.mark.parametrize(
    "record",
    [
        {"prompt": "Hi", "chosen": "Hello", "rejected": "What?"},
        {
            "prompt": HI[:1],
            "chosen": HI[1:],
            "rejected": [{"role": "assistant", "content": "What?"}],
        },
        {
            "chosen": HI,
            "rejected": [HI[0], {"role": "assistant", "content": "What?"}],
        },
        {
            "prompt": "Hi",
            "chosen": HI,
            "rejected": [HI[0], {"role": "assistant", "content": "What?"}],
        },
        {
            "instruction": "Hi",
            "input": "",
            "output": "ignored",
            "chosen": "Hello",
            "rejected": "What?",
        },
    ],
)
def test_every_form_of_pairs(write, record):
    path = write(lines(record))
    [pair] = read_pairs(path)
    assert list(pair.prompt) == HI[:1]
    assert (pair.chosen, pair.rejected, pair.line) == ("Hello", "What?", 1)
    good, bad = read_ratings(path)
    assert (good.answer, good.good, bad.answer, bad.good) == (
        *("Hello", True),
        *("What?", False),
    )


def test_ratings(write):
    record = {"prompt": "Hi", "completion": "Hello", "label": True}
    [rating] = read_ratings(write(lines(record)))
    assert list(rating.prompt) == HI[:1]
    assert (rating.answer, rating.good) == ("Hello", True)


def test_the_books_preferences(shared_data):
    name = "instruction-data-with-preference.json"
    path = shared_data / "llms_from_scratch" / name
    records = json.loads(path.read_text("utf-8"))
    read = list(read_pairs(path))
    assert [(pair.chosen, pair.rejected) for pair in read] == [
        (record["chosen"], record["rejected"]) for record in records
    ]


def test_what_the_feedback_store_exports_is_read(tmp_path):
    chats, pairs = tmp_path / "chats.jsonl", tmp_path / "pairs.jsonl"
    with FeedbackStore(tmp_path / "feedback.sqlite") as store:
        for number, prompt in enumerate(["Hi", HI[:1], "Hi", HI[:1]]):
            text = "Hello" if number < 2 else "What?"
            id_ = str(number)
            store.add(Answer(id=id_, prompt=prompt, text=text, model="rose"))
            store.rate(id_, 1 if number < 2 else -1)
        store.write_instructions(chats)
        store.write_preferences(pairs)
    assert [list(one.messages) for one in read_conversations(chats)] == [HI, HI]
    assert {(p.chosen, p.rejected) for p in read_pairs(pairs)} == {
        ("Hello", "What?")
    }


BAD_PAIRS = {
    "equal but for the answer": (
        {"chosen": HI, "rejected": MORE},
        ["differ before the answer", "line 1"],
    ),
    "empty": (
        {"prompt": "Hi", "chosen": "", "rejected": "What?"},
        ["empty", "line 1"],
    ),
    "no messages": ({"chosen": "a", "rejected": "b"}, ["line 1"]),
    "ratings": (
        {"prompt": "Hi", "completion": "Hello", "label": True},
        ["read_ratings", "line 1 has prompt, completion, label"],
    ),
    "no instruction": (
        {"instruction": None, "chosen": "a", "rejected": "b"},
        ["'instruction'", "line 1"],
    ),
}


@pytest.mark.parametrize("case", BAD_PAIRS)
def test_what_is_wrong_with_a_pair(write, case):
    record, parts = BAD_PAIRS[case]
    with pytest.raises(InputError) as caught:
        list(read_pairs(write(lines(record))))
    assert not missing_parts(caught.value, parts), str(caught.value)


def test_what_is_wrong_with_a_rating(write):
    record = {"prompt": "Hi", "completion": "Hello", "label": 1}
    with pytest.raises(InputError, match=r"true or false.* 1 in .*line 1"):
        list(read_ratings(write(lines(record))))


@pytest.mark.parametrize(
    "read",
    [
        *(read_conversations, read_pairs, read_ratings),
        *(read_labelled, read_tagged),
    ],
)
def test_a_missing_file_is_told_at_once(read, tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read(tmp_path / "missing.jsonl")
    with pytest.raises(InputError, match="a folder"):
        read(tmp_path)
