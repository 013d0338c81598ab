"""Feedback over HTTP, and what the store then holds."""

import contextlib
import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

pytest.importorskip("fastapi", reason="FastAPI is not installed")
from fastapi import FastAPI
from fastapi.testclient import TestClient

from keras_llm.export.server.errors import add_handlers
from keras_llm.export.server.feedback_api import (
    RecentAnswers,
    add_routes,
    answer_id,
)
from keras_llm.feedback import Answer, FeedbackStore

ZERO = {"answers": 0, "up": 0, "down": 0, "corrections": 0, "choices": 0}


def answer(key, prompt="Once", text=None):
    return Answer(id=key, prompt=prompt, text=text or key, model="rose/1")


@pytest.fixture
def store(tmp_path):
    with FeedbackStore(tmp_path / "feedback.sqlite") as store:
        yield store


@pytest.fixture
def client(store):
    app = FastAPI()
    add_handlers(app)
    recent = add_routes(app, store)
    recent.remember(answer("a"), answer("b"), answer(answer_id("a", 1)))
    recent.remember(answer("z", "Other"))
    return TestClient(app, raise_server_exceptions=False)


def post(client, path="", **body):
    return client.post(f"/v1/feedback{path}", json=body)


def test_only_what_people_speak_of_is_stored(client, store, tmp_path):
    assert client.get("/v1/feedback/stats").json() == ZERO
    said = {"rating": "down", "comment": "no", "correction": "better"}
    assert post(client, id="a", **said).json() == {"stored": True}
    assert post(client, id="a", choice=1, rating="up").status_code == 200
    assert client.get("/v1/feedback/stats").json() == ZERO | {
        "answers": 2, "up": 1, "down": 1, "corrections": 1
    }  # fmt: skip
    assert post(client, "/choice", chosen="b", rejected="a").status_code == 200
    assert store.write_preferences(tmp_path / "pairs.jsonl") == 3
    pairs = (tmp_path / "pairs.jsonl").read_text().splitlines()
    assert {(p["chosen"], p["rejected"]) for p in map(json.loads, pairs)} == {
        ("better", "a"), ("b", "a"), ("a/1", "a")
    }  # fmt: skip


@pytest.mark.parametrize(
    ("path", "body", "status", "sentence"),
    [
        ("", {"id": "gone", "rating": "up"}, 404, "Received: 'gone'"),
        ("", {"id": "a", "choice": 7, "rating": "up"}, 404, "'a/7'"),
        ("", {"id": "a"}, 400, "a rating, a correction or both"),
        ("", {"id": "a", "rating": "great"}, 400, "'up' or 'down'"),
        ("", {"id": "a", "correction": " "}, 400, "an empty one"),
        ("", {"id": "a", "correction": "x", "comment": "y"}, 400, "a rating"),
        ("", {"id": "a", "rating": "up", "who": 1}, 400, "not known here"),
        ("", {"id": "a", "correction": "\ud800"}, 400, "Expected"),
        ("/choice", {"chosen": "a", "rejected": "z"}, 400, "the same prompt"),
        ("/choice", {"chosen": "a", "rejected": "x"}, 404, "Received: 'x'"),
        ("/choice", {"chosen": "a"}, 400, "rejected"),
    ],
)
def test_mistakes_are_sentences(client, store, path, body, status, sentence):
    found = client.post(
        f"/v1/feedback{path}",
        content=json.dumps(body),
        headers={"content-type": "application/json"},
    )
    assert found.status_code == status, found.text
    assert sentence in found.json()["error"]["message"]
    counts = store.counts()
    del counts["answers"]
    assert not any(counts.values())


def test_feedback_holds_after_a_restart(client, store):
    post(client, id="a", rating="up")
    app = FastAPI()
    add_routes(app, store)  # remembers nothing
    again = TestClient(app)
    assert post(again, id="a", rating="down").status_code == 200
    assert store.counts() == ZERO | {"answers": 1, "down": 1}


SERVER = """
import sys, uvicorn
from playground_server import Canned
from keras_llm.feedback import FeedbackStore
app = Canned(FeedbackStore(sys.argv[1])).app
config = uvicorn.Config(app, port=int(sys.argv[2]), log_level="error")
uvicorn.Server(config).run()
"""


@contextlib.contextmanager
def process(path):
    """A server in a process of its own; it is killed at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-c", SERVER, str(path), str(port)]
    server = subprocess.Popen(words, cwd=Path(__file__).parent)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            deadline = time.monotonic() + 120
            while True:
                assert server.poll() is None and time.monotonic() < deadline
                with contextlib.suppress(httpx.TransportError):
                    client.get("/v1/models")
                    break
                time.sleep(0.1)
            yield client
    finally:
        server.kill()
        server.wait()


@pytest.mark.slow
def test_kill_9_and_restart_lose_no_feedback(tmp_path):
    path = tmp_path / "feedback.sqlite"
    with process(path) as client:
        for number in range(1, 6):
            client.post("/v1/completions", json={"prompt": f"Once {number}"})
            said = {"id": f"answer-{number}", "rating": "up"}
            assert post(client, correction="x", **said).status_code == 200
    with process(path) as client:
        stats = client.get("/v1/feedback/stats").json()
    assert stats == ZERO | {"answers": 5, "up": 5, "corrections": 5}


def test_old_answers_make_room():
    recent = RecentAnswers(most=100, characters=1000)
    for i in range(50):
        recent.remember(answer(str(i), text="x" * 95))
    kept = [i for i in range(50) if recent.find(str(i))]
    assert kept == list(range(40, 50))
    recent.remember(answer("large", text="x" * 2000))
    assert recent.find("large") is None and recent.find("49") is None


def test_a_fuzzer_finds_no_500(client):
    schemathesis = pytest.importorskip(
        "schemathesis", reason="schemathesis is not installed"
    )
    from hypothesis import HealthCheck, Phase, given, settings, strategies
    from schemathesis.checks import not_a_server_error

    schema = schemathesis.openapi.from_asgi("/openapi.json", client.app)
    wrong = schemathesis.GenerationMode.NEGATIVE
    for found in schema.get_all_operations():
        operation = found.ok()

        @settings(
            max_examples=30,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(
            strategies.one_of(
                operation.as_strategy(),
                operation.as_strategy(generation_mode=wrong),
            )
        )
        def check(case):
            case.call_and_validate(checks=[not_a_server_error])

        check()


def test_openapi_tells_what_is_taken(client):
    paths = client.get("/openapi.json").json()["paths"]
    assert set(paths) == {
        "/v1/feedback", "/v1/feedback/choice", "/v1/feedback/stats"
    }  # fmt: skip
    assert set(paths["/v1/feedback"]["post"]["responses"]) >= {"200", "404"}


def test_an_answer_is_kept_with_the_adapter_that_gave_it(store):
    from running_server import client_of, tiny_app
    from served_models import language_model

    from keras_llm import adapters

    lm = language_model("llama")
    adapters.attach(lm.model, adapters.Lora(rank=2), name="polite")
    app = tiny_app(lm, hooks={"store": store})
    with client_of(app) as client:
        body = {"prompt": "a rose", "max_tokens": 3}
        told = client.post("/v1/completions", json=body).json()
        assert post(client, id=told["id"], rating="up").status_code == 200
        kept = store.answer(told["id"])
    assert kept.model == "rose-1"
    assert kept.adapter == adapters.version(lm.model)
    assert kept.adapter.startswith("polite-")
