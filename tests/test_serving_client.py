"""The client over REST and gRPC: Keras's answers, refusals as sentences."""

import contextlib
import http.server
import json
import re
import sys
import time

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="FastAPI is not installed")
pytest.importorskip(
    "tensorflow_serving", reason="tensorflow-serving-api is not installed"
)
from canned_server import running
from grpc_server import Service, grpc_listening
from running_server import listening
from talkative import talkative

from keras_llm.embed import embedder
from keras_llm.errors import InputError
from keras_llm.export.saved_model_export import saved_model
from keras_llm.export.server import create_app
from keras_llm.export.serving_client import ServingClient

PROMPTS = ["a fox", "", "🙂 naïve dogs and more of them"]
TALK = [{"role": "user", "content": "Hi there"}]


@pytest.fixture(scope="module")
def lm():
    return talkative("chatml")


@pytest.fixture(scope="module")
def folder(lm, tmp_path_factory):
    path = tmp_path_factory.mktemp("client") / "rose"
    saved_model(lm, path, max_new_tokens=9, verify=False, warmup=False)
    return path


@pytest.fixture(scope="module")
def service(folder):
    return Service(folder / "1")


@pytest.fixture(
    scope="module",
    params=["grpc", pytest.param("rest", marks=pytest.mark.slow)],
)
def client(request, folder, service):
    with contextlib.ExitStack() as stack:
        if request.param == "rest":
            address = stack.enter_context(listening(create_app(folder)))
        else:
            address = stack.enter_context(grpc_listening(service))
        yield stack.enter_context(ServingClient(address, "rose", timeout=300))


def test_it_continues_as_keras(client, lm):
    expected = lm.generate(PROMPTS, max_new_tokens=9)
    assert client.complete(PROMPTS) == expected
    assert client.complete(PROMPTS[0]) == expected[0]
    assert client.complete([]) == []


def test_every_row_has_its_own_settings(client, lm):
    settings = {
        "max_new_tokens": [4, 9, 6],
        "temperature": [0.0, 0.9, 0.9],
        "top_k": 12,
        "seed": [0, 5, 8],
        "repetition_penalty": 1.1,
    }
    found = client.generate(PROMPTS, **settings)
    for place, (prompt, row) in enumerate(zip(PROMPTS, found, strict=True)):
        own = {
            name: value[place] if isinstance(value, list) else value
            for name, value in settings.items()
        }
        assert row["text"] == lm.generate(prompt, **own)
        assert len(row["tokens"]) == row["num_tokens"]
        assert row["prompt_tokens"] >= len(lm.encode_prompt(prompt))
    assert found[0]["finish_reason"] in ("stop", "length")


def test_stop_strings_hold_for_all_rows_or_one(client, lm):
    plain = client.generate("a fox", max_new_tokens=9)["text"]
    stop = plain[2:4]
    row = client.generate("a fox", max_new_tokens=9, stop=["\0", stop])
    assert row["text"] == plain[: plain.index(stop)]
    assert row["finish_reason"] == "stop"
    first, second = client.generate(
        ["a fox"] * 2, max_new_tokens=9, stop=[[stop], []]
    )
    assert (first["text"], second["text"]) == (row["text"], plain)


def test_it_chats_as_keras(client, lm):
    more = [
        *TALK,
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "And 12 dogs?"},
    ]
    wanted = [
        "".join(lm.chat(talk, max_new_tokens=12)) for talk in (TALK, more)
    ]
    found = client.chat([TALK, more], max_new_tokens=12)
    assert [row["text"] for row in found] == wanted
    assert client.chat(TALK, max_new_tokens=12)["text"] == wanted[0]
    with pytest.raises(InputError, match="one of assistant"):
        client.chat([{"role": "assistant", "content": "x"}])


def test_it_scores_embeds_and_tokenizes(client, lm):
    texts = ["a fox and a dog", "naïve"]
    for text, row in zip(texts, client.score(texts), strict=True):
        expected = lm.score(text)
        np.testing.assert_allclose(row["token_logprobs"], expected, atol=1e-4)
        assert row["num_tokens"] == len(row["tokens"]) == len(expected)
    ids = [lm.tokenizer.encode(text) for text in texts]
    assert client.tokenize(texts) == ids
    assert client.tokenize(texts[1]) == ids[1]
    assert client.detokenize(ids) == texts
    assert client.detokenize(ids[1]) == texts[1]
    assert client.detokenize([]) == ""
    (vector,) = embedder(lm.model)([lm.encode_prompt(texts[0])])
    np.testing.assert_allclose(client.embed(texts[0]), vector, atol=1e-4)


def test_it_tells_what_is_served(client):
    assert client.status() == {1: "AVAILABLE"}
    assert client.metadata()["tokenize"] == {
        "inputs": ["text"], "outputs": client.metadata()["tokenize"]["outputs"]
    }  # fmt: skip
    assert "chat" in client.metadata()


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda c: c.generate("a", heat=1), "Received: heat"),
        (lambda c: c.generate("a", temperature=-1), "temperature to be"),
        (lambda c: c.generate(["a"], seed=[1, 2]), "one seed, or one for"),
        (lambda c: c.predict("sing", text=["a"]), "Received: sing"),
        (lambda c: c.predict("score", word=["a"]), "Received: word"),
        (lambda c: c.predict("tokenize", text=[1]), "text to be"),
        (lambda c: c.predict("embed", text=[["a"], []]), "text to be"),
    ],
)
def test_mistakes_are_sentences(client, call, sentence):
    with pytest.raises(InputError, match=sentence):
        call(client)


def test_a_model_that_is_not_there(folder, service):
    with (
        listening(create_app(folder)) as rest,
        grpc_listening(service) as grpc,
    ):
        for address in (rest, grpc):
            with (
                ServingClient(address, "tulip", timeout=60) as client,
                pytest.raises(InputError, match="server refuses"),
            ):
                client.complete("a")


def test_the_token_and_the_version_travel(service):
    with grpc_listening(service) as address:
        client = ServingClient(address, "rose", version=1, token="sesame")
        assert client.status() == {1: "AVAILABLE"}
        assert service.headers["authorization"] == "Bearer sesame"
        client.close()
        with (
            ServingClient(address, "rose", version=2) as other,
            pytest.raises(InputError, match="not found"),
        ):
            other.status()


class Odd(http.server.BaseHTTPRequestHandler):
    """A server that is not what it should be."""

    def do_GET(self):
        if "slow" in self.path:
            time.sleep(1.5)
        code = int(re.split("[-/]", self.path)[-1])
        self.server.seen = self.path, self.headers["Authorization"]
        self.send_response(code)
        self.end_headers()
        body = {"error": "words of its own"} if code != 200 else "no json"
        self.wfile.write(json.dumps(body).encode()[: 50 if code != 200 else 3])

    def log_message(self, *args):
        pass


@pytest.fixture
def odd():
    with running(Odd) as server:
        yield server, f"http://127.0.0.1:{server.server_port}"


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("m-400", InputError),
        ("m-404", InputError),
        ("m-429", ConnectionError),
        ("m-503", ConnectionError),
        ("m-504", TimeoutError),
        ("m-500", RuntimeError),
    ],
)
def test_refusals_are_the_errors_that_they_mean(odd, model, kind):
    with pytest.raises(kind, match="words of its own"):
        ServingClient(odd[1], model).status()


def test_a_rest_request_has_its_version_and_token(odd):
    server, address = odd
    with pytest.raises(RuntimeError, match="Expected JSON from"):
        ServingClient(address + "/", "a b-200", token="t").status()
    assert server.seen == ("/v1/models/a%20b-200", "Bearer t")
    with pytest.raises(InputError, match="words of its own"):
        ServingClient(address, "m", version=400).status()
    assert server.seen == ("/v1/models/m/versions/400", None)


def test_a_server_that_is_slow_or_gone(odd):
    with pytest.raises(TimeoutError, match=r"within 0\.2 s"):
        ServingClient(odd[1], "slow-200", timeout=0.2).status()
    with pytest.raises(ConnectionError, match="Expected a server at http"):
        ServingClient("http://127.0.0.1:9", "m", timeout=5).status()
    with (
        ServingClient("grpc://127.0.0.1:9", "m", timeout=5) as client,
        pytest.raises((ConnectionError, TimeoutError)),
    ):
        client.status()


def test_other_addresses_and_missing_libraries(monkeypatch):
    with pytest.raises(InputError, match="Received: 'localhost:80'"):
        ServingClient("localhost:80", "m")
    monkeypatch.setitem(sys.modules, "grpc", None)
    with pytest.raises(InputError, match=r"pip install .keras_llm\[serving\]"):
        ServingClient("grpc://localhost:80", "m")
