"""`keras-llm ask` and `keras-llm feedback`: thin calls, sentences."""

import dataclasses
import http.server
import json

import pytest
from canned_server import running
from test_cli_corpus import done, run

from keras_llm.feedback import Answer, FeedbackStore
from keras_llm.sampling import GenerationSettings

CONTROLS = [field.name for field in dataclasses.fields(GenerationSettings)]


class Canned(http.server.BaseHTTPRequestHandler):
    """TensorFlow Serving's REST interface with one answer."""

    asked: dict = {}

    def answer(self, body):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def do_GET(self):
        described = {
            name: {"inputs": dict.fromkeys([*own, *CONTROLS]), "outputs": {}}
            for name, own in {
                "generate": ["prompt"], "chat": ["roles", "contents"]
            }.items()
        }  # fmt: skip
        self.answer(
            {"metadata": {"signature_def": {"signature_def": described}}}
        )

    def do_POST(self):
        size = int(self.headers["Content-Length"])
        Canned.asked = json.loads(self.rfile.read(size))
        rows = {"text": [" upon a time"], "finish_reason": ["stop"]}
        self.answer({"outputs": rows})

    def log_message(self, *args):
        pass


@pytest.fixture
def address():
    with running(Canned) as server:
        yield f"http://127.0.0.1:{server.server_port}"


def test_ask_prints_the_answer(address):
    assert done("ask", address, "Once", "--seed", 3).strip() == "upon a time"
    assert Canned.asked["signature_name"] == "generate"
    inputs = Canned.asked["inputs"]
    assert inputs["prompt"] == ["Once"] and inputs["seed"] == [3]
    assert inputs["max_new_tokens"] == [64] and inputs["stop"] == [""]
    done("ask", address, "Hi", "--chat", "--top-k", 5, "--stop", "END")
    assert Canned.asked["inputs"]["top_k"] == [5]
    assert Canned.asked["inputs"]["stop"] == ["END"]
    assert Canned.asked["inputs"]["roles"] == [["user"]]
    assert Canned.asked["inputs"]["contents"] == [["Hi"]]


def test_ask_says_what_is_wrong():
    for address, sentence in {
        "localhost:1": "begins with one of",
        "http://127.0.0.1:9": "Expected a server at",
    }.items():
        answer = run("ask", address, "x")
        assert answer.exit_code == 2 and sentence in answer.stderr


def test_feedback_counts_and_exports(tmp_path):
    path = tmp_path / "feedback.sqlite"
    with FeedbackStore(path) as store:
        store.add(Answer(id="1", prompt="Once", text=" up", model="rose"))
        store.correct("1", " upon a time")
    pairs, good = tmp_path / "pairs.jsonl", tmp_path / "good.jsonl"
    shown = done(
        "feedback", path, "--preferences", pairs, "--instructions", good
    )
    assert "corrections" in shown
    assert json.loads(pairs.read_text())["chosen"] == " upon a time"
    assert json.loads(good.read_text())["completion"] == " upon a time"
    answer = run("feedback", tmp_path / "no")
    assert answer.exit_code == 2 and "which is none" in answer.stderr
