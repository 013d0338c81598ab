"""How a judge is asked and read: marks, the log, several at once, a server."""

import http.server
import json
import threading
import time

import pytest
from canned_server import running
from test_judge import PROMPTS, RIGHT, WRONG, knows

from keras_llm.compare.asking import Judge
from keras_llm.compare.judge_log import JudgeLog
from keras_llm.compare.judging import judge
from keras_llm.compare.verdicts import (
    pair_question,
    read_grade,
    read_verdict,
)
from keras_llm.errors import InputError


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ("[[A]]", "first"),
        ("Both are good, but\n\n**[[B]]**", "second"),
        ("[[a]] was my first thought. [[ tie ]]", "tie"),
        ("[[C]]", "tie"),
        ("Verdict: **B**", "second"),
        ("Final verdict: [A].", "first"),
        ('{"reason": "short", "verdict": "tie"}', "tie"),
        ("A", "first"),
        ("(b).", "second"),
        ("", None),
        ("Answer A is better.", None),
        ("A good question! Both are fine.", None),
        ("verdict: Both", None),
        ("My verdict: a clear win for B", None),
        ("[[D]]", None),
        ("Good. [[A]", None),
    ],
)
def test_a_verdict_is_read_or_not(reply, verdict):
    assert read_verdict(reply) == verdict


@pytest.mark.parametrize(
    ("reply", "number"),
    [
        ("[[7]]", 7.0),
        ("First [[3]], no: [[8/10]]", 8.0),
        ("Rating: **9**", 9.0),
        ("score = 6/10", 6.0),
        ('{"grade": 5}', 5.0),
        ("10", 10.0),
        ("[[7.5]]", 7.5),
        ("[[0]]", None),
        ("[[11]]", None),
        ("Rating: 7 out of 10.", 7.0),
        ("Rating: 70", None),
        ("Rating: 3/5", None),
        ("Score: 7/100", None),
        ("Good in 7 ways.", None),
        ("", None),
    ],
)
def test_a_grade_is_read_or_not(reply, number):
    assert read_grade(reply) == number


def test_a_log_of_something_else_is_refused(write):
    with pytest.raises(InputError, match="line 2.*Received: nonsense"):
        JudgeLog(write(b'{"key": "a", "reply": "b"}\nnonsense\n'))
    with pytest.raises(InputError, match="line 1"):
        JudgeLog(write(b'{"step": 1}\n'))


def test_line_separators_in_replies_stay_inside(tmp_path):
    path, reply = tmp_path / "a.jsonl", "one\u2028two\x85three\nfour"
    JudgeLog(path).add("me", "q", reply)
    assert JudgeLog(path).reply("me", "q") == reply


def test_no_more_questions_at_once_than_said():
    lock, now, most = threading.Lock(), 0, 0

    def slow(question):
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.005)
        with lock:
            now -= 1
        return "[[tie]]"

    judge(slow, PROMPTS, RIGHT, WRONG, concurrency=3)
    assert 1 < most <= 3


def test_a_reference_and_no_model_name_are_in_the_question():
    seen = []

    def look(question):
        seen.append(question)
        return "[[A]]"

    judge(
        *(look, ["Why?"], ["for this"], ["for that"]),
        names=("ours-7b", "theirs"),
        references=["because"],
    )
    assert "<reference>\nbecause\n</reference>" in seen[0]
    assert "ours-7b" not in seen[0]
    assert "<reference>" not in pair_question("a", "b", "c")


def test_a_judge_asks_with_its_name():
    assert Judge(knows).name == "knows"


class Chats(http.server.BaseHTTPRequestHandler):
    """An OpenAI-compatible server that judges as `knows` does."""

    asked: list = []

    def do_GET(self):
        self.answer({"data": [{"id": "sage", "object": "model"}]})

    def do_POST(self):
        size = int(self.headers["Content-Length"])
        body = json.loads(self.rfile.read(size))
        self.asked.append((self.path, body["temperature"]))
        reply = knows(body["messages"][-1]["content"])
        message = {"role": "assistant", "content": reply}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        self.answer({"id": "1", "model": "sage", "choices": [choice]})

    def answer(self, value):
        content = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args):
        pass


def test_a_server_judges_in_chats(monkeypatch, tmp_path):
    pytest.importorskip("openai")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-any")
    monkeypatch.setattr(Chats, "asked", [])
    log = tmp_path / "judge.jsonl"
    with running(Chats) as server:
        address = f"http://127.0.0.1:{server.server_port}/v1#sage"
        report = judge(address, PROMPTS[:9], RIGHT[:9], WRONG[:9], log=log)
        judge(address, PROMPTS[:9], RIGHT[:9], WRONG[:9], log=log)
    assert report.judge == address
    assert report.measures()["judge/win_rate"].value == 1.0
    assert Chats.asked == [("/v1/chat/completions", 0.0)] * 18
