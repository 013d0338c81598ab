"""How models are asked: a server, a function, a kill, and nothing twice."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from canned_server import running
from sources import ROOT
from towns import DOCUMENTS, TOWNS, good, lines, town_in
from writing_server import writing

from keras_llm.errors import InputError
from keras_llm.synthesize import (
    FromDocuments,
    Generator,
    Rephrase,
    SynthesisSettings,
    synthesize,
)
from keras_llm.synthesize.prompts import checked, fill, read_prompt
from keras_llm.synthesize.replies import read_objects, read_text


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        ('[{"a": "1", "b": "2"}]', [("1", "2")]),
        ('Sure!\n```json\n[{"a": "1", "b": "2"}]\n```\nBye', [("1", "2")]),
        ('{"pairs": [{"a": "1", "b": "2"}]}', [("1", "2")]),
        (
            '{"a": "1", "b": "2"}\n{"a": "3", "b": "4"}',
            [("1", "2"), ("3", "4")],
        ),
        ('[{"a": "1", "b": "2"}, {"a": "3", "b": "and th', [("1", "2")]),
        ('{"a": "two\nlines", "b": " 2 ", "c": 3}', [("two\nlines", "2")]),
        ('[{"a": "1"}, {"a": "1", "b": ""}, {"a": 1, "b": "2"}]', []),
        ("I cannot do that [sorry] {really}.", []),
        ("[" * 5000, []),
        ("__import__('os').system('true')", []),
        ("", []),
    ],
)
def test_objects_are_read_wherever_they_stand(reply, found):
    values = [tuple(one.values()) for one in read_objects(reply, ("a", "b"))]
    assert values == found


def test_a_text_stands_between_its_marks():
    assert read_text("Here:\n<text>\nA rose.\n</text> Bye") == "A rose."
    assert read_text("<text>cut off") == "cut off"


def test_what_is_filled_in_is_not_filled_in_again():
    assert fill("{a}{b}{c}", a="{b}", b="{a}") == "{b}{a}{c}"


def test_a_prompt_without_a_place_is_refused(tmp_path):
    path = tmp_path / "prompt.txt"
    path.write_text("Say {this}\n")
    with pytest.raises(InputError, match="Expected a prompt with {document}"):
        FromDocuments(prompt=read_prompt(path))
    with pytest.raises(InputError, match="UTF-8 file with a prompt"):
        read_prompt(tmp_path / "none")
    assert checked("{a} and {b}", ["a", "b"]) == "{a} and {b}"


def test_a_server_is_asked_once_and_counted(tmp_path):
    handler = writing(
        lambda prompt, body: {
            "Bath": 400,
            "Ghent": ("<text>The", "length"),
        }.get(
            town_in(prompt),
            f"<text>{town_in(prompt)} is an old place by the water, whose "
            f"{TOWNS.index(town_in(prompt))} traders sell loaves on the first "
            "day of each week, and are glad of every guest.</text>",
        )
    )
    settings = SynthesisSettings(
        limit=4,
        concurrency=2,
        price_in=10,
        price_out=100,
        seed=3,
        same_language=False,
    )
    with running(handler) as server:
        address = f"http://127.0.0.1:{server.server_port}/v1"
        given = (Rephrase(), DOCUMENTS, address, tmp_path / "out", settings)
        first = synthesize(*given)
        again = synthesize(*given)
    bodies = handler.asked
    asked = [town_in(one["messages"][0]["content"]) for one in bodies]
    # What the server refused may be taken another day.
    assert sorted(asked) == ["Bath", "Bath", "Ghent", "Lucca", "Porto"]
    assert {one["seed"] for one in bodies} == {3}
    assert {one["max_tokens"] for one in bodies} == {1024}
    assert first.to_dict() == again.to_dict()
    assert first.usage.tokens_in == 300 and first.usage.tokens_out == 30
    assert first.cost == pytest.approx(0.006)
    assert dict(first.steps[0].dropped) == {
        "refused by the model's server": 1,
        "cut off at the most new tokens": 1,
    }


SCRIPT = """
import json, sys
from keras_llm.data import Document
from keras_llm.synthesize import FromDocuments, SynthesisSettings, synthesize
address, out, texts = sys.argv[1:]
documents = [Document(*both) for both in json.loads(texts)]
settings = SynthesisSettings(concurrency=2, same_language=False)
synthesize(FromDocuments(), documents, address, out, settings)
"""


def test_a_killed_run_goes_on_and_asks_nothing_twice(tmp_path):
    process, kill_at = None, 5
    texts = json.dumps([(one.text, one.source) for one in DOCUMENTS])

    def answer(prompt, body):
        if process and len(handler.asked) >= kill_at:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        return good(prompt)

    handler = writing(answer)
    with running(handler) as server:
        address = f"http://127.0.0.1:{server.server_port}/v1#sage"
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, address, str(tmp_path / "a"), texts],
            cwd=ROOT,
        )
        assert process.wait(60) == -signal.SIGKILL
        told = lines(tmp_path / "a" / "answers.jsonl")
        process, before = None, len(handler.asked)
        assert 3 <= len(told) < len(TOWNS)
        assert not (tmp_path / "a" / "examples.jsonl").exists()
        settings = SynthesisSettings(concurrency=2, same_language=False)
        given = (FromDocuments(), DOCUMENTS, address)
        synthesize(*given, tmp_path / "a", settings)
        asked = [
            one["messages"][0]["content"] for one in handler.asked[before:]
        ]
        synthesize(*given, tmp_path / "b", settings)
    assert not {one["question"] for one in told} & {*asked}
    assert len(asked) == len(TOWNS) - len(told)
    for name in ("examples.jsonl", "rejects.jsonl", "synthesize.json"):
        both = [(tmp_path / folder / name).read_bytes() for folder in "ab"]
        assert both[0] == both[1]


def test_what_an_answer_depends_on_is_asked_anew(tmp_path):
    asked = []

    def model(prompt):
        asked.append(prompt)
        return prompt

    log = tmp_path / "log.jsonl"
    settings = SynthesisSettings()
    one = Generator(model, settings, log)
    assert [a.text for a in one.ask(["x", "y", "x"])] == ["x", "y", "x"]
    assert len(asked) == 2 and one.usage.questions == 2
    Generator(model, settings, log).ask(["x"])
    assert len(asked) == 2
    for change in ({"seed": 1}, {"temperature": 0.1}, {"max_new_tokens": 9}):
        Generator(model, settings, log).ask(["x"], **change)
    assert len(asked) == 5
    Generator(model, settings, log).ask(["x"], temperature=0.0)
    Generator(model, settings, log).ask(["x"], temperature=0.0, seed=9)
    assert len(asked) == 6  # without drawing there is no seed


def test_no_more_questions_at_once_than_said():
    lock, now, most = threading.Lock(), 0, 0

    def slow(prompt):
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.005)
        with lock:
            now -= 1
        return prompt

    settings = SynthesisSettings(concurrency=3)
    Generator(slow, settings).ask(list(map(str, range(20))))
    assert 1 < most <= 3


def test_what_was_told_before_an_error_is_kept(tmp_path):
    def breaks(prompt):
        if prompt == "bad":
            raise InputError("Expected a server. Received: none.")
        return prompt

    settings, log = SynthesisSettings(concurrency=1), tmp_path / "log.jsonl"
    with pytest.raises(InputError, match="Expected a server"):
        Generator(breaks, settings, log).ask(["a", "b", "bad", "c"])
    told = [one["reply"] for one in lines(log)]
    assert told[:2] == ["a", "b"] and "bad" not in told
