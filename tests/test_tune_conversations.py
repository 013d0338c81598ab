"""Files of conversations: the forms in use, and what is wrong by line."""

import gzip
import json

import pytest
from tuning_examples import HI, MORE, lines, missing_parts

from keras_llm.errors import InputError
from keras_llm.tune import (
    ALPACA_JOINT,
    read_conversations,
)


def sharegpt(messages) -> list[dict]:
    names = {"user": "human", "assistant": "gpt", "system": "system"}
    return [{"from": names[m["role"]], "value": m["content"]} for m in messages]


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"messages": MORE}, MORE),
        ({"conversations": sharegpt(MORE), "id": "x1"}, MORE),
        ({"system": "Be brief", "conversations": sharegpt(MORE[1:])}, MORE),
        ({"instruction": "Hi", "input": "", "output": "Hello"}, HI),
        ({"instruction": "Hi", "output": "Hello"}, HI),
        (
            {"instruction": "Hi", "output": "Hello", "system": "Be brief"},
            MORE[:3],
        ),
        ({"prompt": "Hi", "completion": "Hello"}, HI),
        ({"prompt": HI[:1], "completion": HI[1:]}, HI),
        ({"prompt": MORE[:4], "completion": "Ok"}, MORE),
    ],
)
def test_every_form_gives_the_same_messages(write, record, expected):
    path = write(b"\n" + lines(record) + b"  \n" + lines(record))
    read = list(read_conversations(path))
    assert [list(one.messages) for one in read] == [expected, expected]
    assert [one.line for one in read] == [2, 4]
    assert read[1].where == f"{path}, line 4"


def test_a_list_a_mark_and_gzip_are_read_too(write):
    record = {"messages": HI}
    text = json.dumps([record, record], indent=2).encode()
    for content, name in (
        (text, "a.json"),
        (b"\xef\xbb\xbf" + text, "b.json"),
        (gzip.compress(text), "c.json.gz"),
        (gzip.compress(lines(record, record)), "d.jsonl.gz"),
        (lines(record, record), "e.json"),
    ):
        read = list(read_conversations(write(content, name)))
        assert [list(one.messages) for one in read] == [HI, HI]
        assert [one.line for one in read] == [1, 2]


def test_json_lines_are_read_as_they_are_asked_for(write):
    read = read_conversations(write(lines({"messages": HI}) + b"{"))
    assert next(read).line == 1
    with pytest.raises(InputError, match="line 2 is not valid JSON"):
        next(read)


def test_lone_surrogates_are_replaced(write):
    record = {"prompt": "a\ud800", "completion": "\ud83d\ude00"}
    [read] = read_conversations(write(lines(record)))
    assert [m["content"] for m in read.messages] == ["a\ufffd", "\U0001f600"]


def test_the_books_instructions(shared_data):
    path = shared_data / "llms_from_scratch" / "instruction-data.json"
    records = json.loads(path.read_text("utf-8"))
    read = list(read_conversations(path, joint=ALPACA_JOINT))
    assert len(read) == len(records) == 1100
    for one, record in zip(read, records, strict=True):
        question, answer = (m["content"] for m in one.messages)
        assert answer == record["output"]
        # As chapter 7 of the book builds its prompt.
        extra = f"\n\n### Input:\n{record['input']}" if record["input"] else ""
        assert question == record["instruction"] + extra


BAD_CHATS = {
    "missing field": (
        lines({"instruction": "Hi", "output": "Hello"}, {"instruction": "Hi"}),
        ["line 2 without output", "as in", "line 1"],
    ),
    "empty answer": (
        lines({"instruction": "Hi", "output": "Hello"})
        + lines({"instruction": "Hi", "output": " "}),
        ["'output'", "empty", "line 2", "remove"],
    ),
    "empty message": (
        lines({"messages": [HI[0], {"role": "assistant", "content": ""}]}),
        ["message 2", "empty", "line 1"],
    ),
    "wrong type": (
        lines({"instruction": 3, "output": "Hello"}),
        ["'instruction'", "int (3)", "line 1"],
    ),
    "null": (
        lines({"prompt": None, "completion": "Hello"}),
        ["NoneType", "line 1"],
    ),
    "no messages": (lines({"messages": []}), ["list of messages", "line 1"]),
    "no message": (lines({"messages": ["Hi"]}), ["message 1", "line 1"]),
    "parts": (
        lines({"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}),
        ["'content' of message 1", "list", "line 1"],
    ),
    "two answers in a row": (
        lines({"messages": HI}, {"messages": [*HI, HI[1]]}),
        ["'assistant' as the role of message 3", "line 2", "not 'user'"],
    ),
    "assistant first": (
        lines({"messages": HI[::-1]}),
        ["role of message 1", "line 1"],
    ),
    "late system": (
        lines({"messages": [*HI, MORE[0]]}),
        ["'system' as the role of message 3", "line 1"],
    ),
    "system alone": (
        lines({"messages": MORE[:1]}),
        ["system message alone", "line 1"],
    ),
    "no answer": (
        lines({"messages": HI[:1]}),
        ["last message by 'assistant'", "line 1", "Add an answer"],
    ),
    "unknown role": (
        lines({"messages": [{"role": "bot", "content": "Hi"}]}),
        ["'bot'", "line 1", "human"],
    ),
    "tools": (
        lines({"messages": HI, "tools": [{"name": "search"}]}),
        ["'tools'", "line 1", "not read"],
    ),
    "a message's weight": (
        lines({"messages": [HI[0], {**HI[1], "weight": 0}]}),
        ["'weight'", "line 1"],
    ),
    "unknown form": (
        lines({"question": "Hi", "reply": "Hello"}),
        ["line 1 has question, reply", "instruction, output", "read_pairs"],
    ),
    "mixed forms": (
        lines({"messages": HI}, {"instruction": "Hi", "output": "Hello"}),
        ["line 2 with instruction, output", "line 1", "file of its own"],
    ),
    "ratings": (
        lines({"prompt": "Hi", "completion": "Hello", "label": False}),
        ["'label'", "line 1", "read_ratings"],
    ),
    "half a line": (
        lines({"messages": HI}) + b'{"messages": [',
        ["line 2 is not valid JSON", "remove"],
    ),
    "no object": (lines({"messages": HI}) + b"3\n", ["line 2 holds a int"]),
    "broken UTF-8": (
        lines({"messages": HI}) + b'{"messages": "\xff"}\n',
        ["line 2", "byte 14", "encoding"],
    ),
    "empty file": (b"", ["at least one example", "a.jsonl"]),
    "blank file": (b"\n \n", ["at least one example"]),
    "empty list": (b"[]", ["at least one example"]),
    "half a list": (b'[{"messages": []},\n', ["line 2 is not valid JSON"]),
    "no object in a list": (
        json.dumps([{"messages": HI}, 3]).encode(),
        ["item 2 is 3"],
    ),
    "bad item of a list": (
        json.dumps([{"messages": HI}, {"messages": HI[:1]}]).encode(),
        ["item 2", "last message"],
    ),
}


@pytest.mark.parametrize("case", BAD_CHATS)
def test_what_is_wrong_with_a_conversation(write, case):
    content, parts = BAD_CHATS[case]
    with pytest.raises(InputError) as caught:
        list(read_conversations(write(content)))
    assert not missing_parts(caught.value, parts), str(caught.value)
