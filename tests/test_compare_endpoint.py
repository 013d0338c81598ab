"""Servers as subjects: our own behind a socket, and others made up."""

import http.server
import json
import sys
import time

import numpy as np
import pytest
from canned_server import running
from running_server import client_of, listening, tiny_app
from served_models import language_model

from keras_llm.compare import EndpointSubject, open_subject
from keras_llm.errors import InputError
from keras_llm.evaluate import Continuation, Prompt, Subject
from keras_llm.evaluate.pairs_rule import encode_pair

pytest.importorskip("openai")

REQUESTS = [
    Continuation("a rose is", " a rose"),
    Continuation("a rose is ", "a king"),  # the space moves
    Continuation("", "a rose"),
    Continuation("a rose is", " a rose"),
    Continuation("naïve 🙂", " 日本"),
]

# What the harness's client asks for beside a prompt.
HARNESS = {"max_tokens": 1, "temperature": 0, "logprobs": 1, "seed": 1234}


@pytest.fixture(scope="module")
def lm():
    return language_model("llama", num_layers=1)


@pytest.fixture(scope="module")
def address(lm):
    with listening(tiny_app(lm, token="sk-rose")) as address:
        yield f"{address}/v1"


@pytest.fixture(scope="module")
def subject(address):
    return open_subject(f"{address}#rose", key="sk-rose", retries=0)


def by_hand(lm, request):
    """Log-probabilities of a continuation, and whether each is likeliest."""
    given, said = encode_pair(lm.encode_prompt, *request, lm.start_id)
    tokens = np.array([*given, *said])
    logits = np.array(lm.model(tokens[None, :-1])[0], "float64")
    logits -= np.log(np.exp(logits).sum(-1, keepdims=True))
    own = logits[np.arange(len(tokens) - 1), tokens[1:]]
    likeliest = logits.argmax(-1) == tokens[1:]
    return own[-len(said) :], likeliest[-len(said) :]


def test_likelihoods_of_our_own_server(lm, subject):
    assert isinstance(subject, Subject)
    said = lm.generate("a rose", max_new_tokens=1)
    requests = [*REQUESTS, Continuation("a rose", said)]
    found = subject.likelihoods(requests)
    for one, request in zip(found, requests, strict=True):
        own, likeliest = by_hand(lm, request)
        assert one.total == pytest.approx(own.sum(), abs=1e-3), request
        assert one.greedy == likeliest.all()


def test_whole_texts_of_our_own_server(lm, subject):
    texts = ["a rose", "", "naïve 日本 🙂"]
    found = subject.token_scores(texts)
    for one, total, text in zip(
        found, subject.rolling(texts), texts, strict=True
    ):
        expected = lm.score(text)
        np.testing.assert_allclose(one.log_probabilities, expected, atol=1e-4)
        assert total == pytest.approx(expected.sum(), abs=1e-3)
    assert "".join(found[0].tokens) == "a rose"
    with pytest.raises(InputError, match="400, Expected a prompt of at most"):
        subject.rolling(["the king " * 80])


def test_answers_of_our_own_server(lm, subject):
    whole = lm.generate("a rose", max_new_tokens=12)
    stops = (whole[3:5], *"ABCDEF")  # more than OpenAI takes
    prompts = [
        Prompt("a rose", (), 12),
        Prompt("a rose", stops, 12),
        Prompt("the king", (), 6, temperature=0.9, seed=5),
    ]
    drawn = lm.generate("the king", max_new_tokens=6, temperature=0.9, seed=5)
    cut = min(whole.find(s) for s in stops if s in whole)
    assert subject.generate(prompts) == [whole, whole[:cut], drawn]


def test_chats_with_our_own_server(lm, address):
    chat = open_subject(f"{address}#rose", key="sk-rose", chat=True)
    expected = "".join(lm.chat("a rose", max_new_tokens=8))
    assert chat.generate([Prompt("a rose", (), 8)]) == [expected]
    with pytest.raises(InputError, match="a chat gives no likelihoods"):
        chat.likelihoods(REQUESTS[:1])


def test_names_keys_and_fingerprints(address, subject, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-rose")
    again = open_subject(address, name="mine")  # the only model there
    assert again.name == "mine" and subject.name == f"{address}#rose"
    assert again.fingerprint == subject.fingerprint
    chat = open_subject(address, chat=True)
    assert chat.fingerprint != subject.fingerprint
    with pytest.raises(InputError, match="served there: rose. Received: tul"):
        open_subject(f"{address}#tulip")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-tulip")
    with pytest.raises(InputError, match="variable OPENAI_API_KEY"):
        open_subject(address)


def test_nobody_is_there():
    with pytest.raises(InputError, match="refused.*keras-llm serve"):
        open_subject("http://127.0.0.1:9/v1#rose", retries=0)
    with pytest.raises(InputError, match="an address as http"):
        EndpointSubject("http://")


def test_the_client_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(InputError, match=r"keras_llm\[judge\]"):
        open_subject("http://127.0.0.1:9/v1#rose")


class Other(http.server.BaseHTTPRequestHandler):
    """Another server: it counts a start token, and wants a new one."""

    busy, slow, echoes = 0, 0.0, True

    def do_GET(self):
        self.answer({"object": "list", "data": [{"id": "m"}, {"id": "n"}]})

    def do_POST(self):
        size = int(self.headers["content-length"])
        asked = json.loads(self.rfile.read(size))
        time.sleep(self.slow)
        if type(self).busy:
            type(self).busy -= 1
            self.answer({"error": {"message": "Busy."}}, 503)
        elif not asked["max_tokens"]:
            self.answer({"error": {"message": "max_tokens: 1"}}, 400)
        else:
            texts = asked["prompt"]
            pairs = [self.choice(i, t) for i, t in enumerate(texts)]
            self.answer({"object": "text_completion", "choices": pairs[::-1]})

    def choice(self, index, text):
        """Every letter a token of -1, a "b" the likeliest after an "a"."""
        tokens = ["<s>", *text, "!"]
        found = {
            "tokens": tokens,
            "token_logprobs": [None, *[-1.0] * len(text), -0.1],
            "top_logprobs": [
                None,
                *({"b": -1.0} if t == "b" else {"?": -0.5} for t in text),
                {"!": -0.1},
            ],
            "text_offset": [0, *range(3, len(text) + 4)],
        }
        found = found if self.echoes else None
        return {"index": index, "text": text, "logprobs": found}

    def answer(self, value, status=200):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        """Nothing is printed."""


@pytest.fixture
def other():
    """The address of a server, and its handler."""
    handler = type("Handler", (Other,), {})
    with running(handler) as server:
        host, port = server.server_address
        yield f"http://{host}:{port}/v1#m", handler


def test_a_start_token_and_a_new_one_are_not_the_texts(other):
    subject = open_subject(other[0])
    requests = [Continuation("a", "b"), Continuation("", "abc")] * 20
    found = subject.likelihoods(requests)
    assert found == [(-1.0, True), (-3.0, False)] * 20
    assert subject.rolling(["abcd"]) == [-4.0]
    assert subject.token_scores(["ab"])[0].tokens == ["a", "b"]


def test_a_busy_server_is_asked_again(other):
    address, handler = other
    handler.busy = 2
    found = open_subject(address, retries=3).rolling(["ab"])
    assert found == [-2.0] and handler.busy == 0
    handler.busy = 9
    subject = open_subject(address, retries=0)
    with pytest.raises(InputError, match="503, Busy"):
        subject.generate([Prompt("a")])


def test_a_slow_server(other):
    address, handler = other
    handler.slow = 0.6
    subject = open_subject(address, retries=0, timeout=0.2)
    with pytest.raises(InputError, match="to answer in 0.2 seconds"):
        subject.generate([Prompt("a")])


def test_a_server_without_an_echo(other):
    address, handler = other
    handler.echoes = False
    with pytest.raises(InputError, match="Received: an answer without log-pr"):
        open_subject(address).likelihoods(REQUESTS)


def test_no_probability_of_a_first_token(other):
    address, handler = other
    handler.choice = lambda self, index, text: {
        "index": index,
        "text": text,
        "logprobs": {
            "tokens": [*text],
            "token_logprobs": [None, *[-1.0] * (len(text) - 1)],
            "top_logprobs": [None, *[{"b": -1.0}] * (len(text) - 1)],
            "text_offset": [*range(len(text))],
        },
    }
    subject = open_subject(address)
    assert subject.likelihoods([Continuation("a", "bb")])[0].total == -2
    with pytest.raises(InputError, match="as of a model without a start"):
        subject.rolling(["ab"])
    with pytest.raises(InputError, match="give it a context"):
        subject.likelihoods([Continuation("", "ab")])
    assert np.isnan(subject.token_scores(["ab"])[0].log_probabilities[0])


@pytest.mark.parametrize("ends", [False, True])
def test_the_harness_reads_our_own_server(lm, ends):
    """`lm_eval --model local-completions` sends ids, the start id first."""
    harness = pytest.importorskip("lm_eval.models.openai_completions")
    pairs = [encode_pair(lm.encode_prompt, *r, lm.start_id) for r in REQUESTS]
    rows = [[*given, *said] for given, said in pairs]
    if ends:  # whatever comes next ends the first text
        [logits] = lm.model(np.array(rows[:1]))
        lm = lm.replace(end_ids=[int(np.argmax(logits[-1]))])
    with client_of(tiny_app(lm)) as client:
        answer = client.post(
            "/v1/completions",
            json={"model": "rose", "prompt": rows, "echo": True, **HARNESS},
        ).json()
    reasons = [choice["finish_reason"] for choice in answer["choices"]]
    assert reasons[0] == ("stop" if ends else "length")
    lengths = [len(given) for given, _ in pairs]
    found = harness.LocalCompletionsAPI.parse_logprobs(answer, rows, lengths)
    for (total, greedy), request in zip(found, REQUESTS, strict=True):
        own, likeliest = by_hand(lm, request)
        assert total == pytest.approx(own.sum(), abs=1e-3), request
        assert greedy == likeliest.all()
