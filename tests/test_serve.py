"""The endpoint: TensorFlow Serving's shapes, and mistakes as sentences."""

import shutil
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from served_models import NEW_TOKENS, PROMPTS, language_model

from keras_llm.errors import InputError
from keras_llm.export import serve as module
from keras_llm.export.saved_model_export import saved_model
from keras_llm.export.serve import create_app, serve

GREEDY = {"temperature": 0.0, "max_new_tokens": NEW_TOKENS}
PREDICT = "/v1/models/rose:predict"


@pytest.fixture(scope="module")
def lm():
    return language_model("llama")


@pytest.fixture(scope="module")
def folder(lm, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served") / "rose"
    # An older version that would not load: the newest is served.
    (folder / "9").mkdir(parents=True)
    (folder / "9" / "saved_model.pb").write_bytes(b"not a model")
    saved_model(lm, folder, version=10, max_new_tokens=NEW_TOKENS, verify=False)
    return folder


@pytest.fixture(scope="module")
def client(folder):
    from fastapi.testclient import TestClient

    return TestClient(create_app(folder), raise_server_exceptions=False)


def predict(client, **request):
    answer = client.post(PREDICT, json=request)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_it_says_what_it_serves(client):
    assert client.get("/health").json() == {"status": "ok"}
    assert "POST /generate" in client.get("/").json()
    (found,) = client.get("/v1/models/rose").json()["model_version_status"]
    assert found["version"] == "10" and found["state"] == "AVAILABLE"


def test_predict_answers_row_by_row_or_column_by_column(client, lm):
    expected = lm.generate(PROMPTS, **GREEDY)
    rows = predict(client, instances=PROMPTS)
    assert rows == {"predictions": expected}
    named = [{"prompt": prompt} for prompt in PROMPTS]
    assert predict(client, instances=named) == rows
    assert predict(client, inputs=PROMPTS) == {"outputs": expected}
    columns = {"prompt": PROMPTS}
    assert predict(client, inputs=columns) == {"outputs": expected}


def test_predict_reaches_every_signature(client, lm):
    (row,) = predict(
        client, signature_name="tokenize", instances=["a rose"]
    )["predictions"]  # fmt: skip
    ids = lm.tokenizer.encode("a rose")
    assert row == {"tokens": ids, "num_tokens": len(ids)}
    assert predict(
        client, signature_name="detokenize", instances=[ids, ids]
    ) == {"predictions": ["a rose"] * 2}
    (score,) = predict(client, signature_name="score", instances=["a rose"])[
        "predictions"
    ]
    total = lm.score("a rose").sum()
    assert score["sum_logprob"] == pytest.approx(total, rel=1e-4)
    assert score["truncated"] is False
    row = {"prompt": "a rose", "max_new_tokens": 3, "temperature": 0,
           "top_k": 0, "top_p": 1, "min_p": 0.0, "seed": 7}  # fmt: skip
    (made,) = predict(client, signature_name="generate", instances=[row])[
        "predictions"
    ]
    assert made["text"] == lm.generate("a rose", max_new_tokens=3)


def test_generate_takes_settings(client, lm):
    settings = {"max_new_tokens": 9, "temperature": 0.8, "top_k": 50}
    settings |= {"top_p": 0.9, "min_p": 0.01, "seed": 3}
    answer = client.post("/generate", json={"prompt": "a rose"} | settings)
    assert answer.json()["text"] == lm.generate("a rose", **settings)
    plain = client.post("/generate", json={"prompt": ""}).json()
    assert plain["text"] == lm.generate("", temperature=0.0)
    assert plain.keys() == {
        "text", "num_tokens", "prompt_tokens", "finish_reason"
    }  # fmt: skip


def test_requests_at_the_same_time_do_not_mix(client, lm):
    prompts = PROMPTS * 3
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda p: predict(client, instances=[p]), prompts)
    expected = lm.generate(PROMPTS, **GREEDY) * 3
    assert [one["predictions"][0] for one in found] == expected


@pytest.mark.parametrize(
    ("request_body", "sentence"),
    [
        ({}, "Received the keys: none"),
        ({"instances": ["a"], "inputs": ["a"]}, "Received the keys: inst"),
        ({"instances": []}, "a list of at least one row"),
        ({"instances": "a"}, "a list of at least one row"),
        ({"instances": [1]}, "prompt to be a list of strings"),
        ({"instances": ["a", 1]}, "prompt to be a list of strings"),
        ({"instances": [{"text": "a"}]}, "object with the inputs prompt"),
        ({"instances": ["a", {"prompt": "a"}]}, "object with the inputs"),
        ({"inputs": {"text": ["a"]}}, "Expected the inputs prompt"),
        ({"inputs": {"prompt": "a"}}, "Expected prompt to be a list of at"),
        ({"instances": ["a"], "signature_name": "talk"}, "score, serving_def"),
        ({"instances": ["a"], "signature_name": ["x"]}, "score, serving_def"),
        (
            {"instances": [[1], [1, 2]], "signature_name": "detokenize"},
            "rows of equal length of integers",
        ),
        ({"instances": [[[1]]], "signature_name": "detokenize"}, "rows of eq"),
        ({"instances": [[True]], "signature_name": "detokenize"}, "integers"),
        (
            {"instances": [[2**40]], "signature_name": "detokenize"},
            "Expected tokens between",
        ),
        (
            {"instances": [[100_000]], "signature_name": "detokenize"},
            "values that the model can compute with",
        ),
    ],
)
def test_predict_refuses_with_a_sentence(client, request_body, sentence):
    answer = client.post(PREDICT, json=request_body)
    assert answer.status_code == 400
    assert sentence in answer.json()["error"]


@pytest.mark.parametrize(
    ("request_body", "sentence"),
    [
        ({}, "Received: None"),
        ({"prompt": 3}, "Received: 3"),
        ({"prompt": "a", "temperature": -1}, "Expected temperature to be"),
        ({"prompt": "a", "top_p": "x"}, "Expected top_p to be"),
        ({"prompt": "a", "max_new_tokens": 2.5}, "Expected max_new_tokens"),
        ({"prompt": "a", "seed": 2**70}, "Expected seed to be at least 0"),
        ({"prompt": "a", "beams": 4}, "only max_new_tokens, min_p"),
    ],
)
def test_generate_refuses_with_a_sentence(client, request_body, sentence):
    answer = client.post("/generate", json=request_body)
    assert answer.status_code == 400
    assert sentence in answer.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "content", "status", "sentence"),
    [
        ("POST", "/generate", b"{", 400, "Expected a JSON object"),
        ("POST", "/generate", b'["a"]', 400, "Received: list"),
        ("POST", "/generate", b"\xff", 400, "Expected a JSON object"),
        ("POST", "/generate", b'{"prompt": "\\ud800"}', 400, "surrogate"),
        ("GET", "/generate", b"", 405, "GET /generate"),
        ("GET", "/v2", b"", 404, "GET /v2"),
        ("GET", "/v1/models/tulip", b"", 404, "the model 'rose'"),
        ("POST", "/v1/models/tulip:predict", b"{}", 404, "the model 'rose'"),
    ],
)
def test_other_mistakes(client, method, path, content, status, sentence):
    answer = client.request(method, path, content=content)
    assert answer.status_code == status
    assert sentence in answer.json()["error"]


@pytest.mark.parametrize("place", ["", "nowhere", "notes/saved_model.pb"])
def test_no_saved_model(tmp_path, place):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "saved_model.pb").write_text("")
    with pytest.raises(InputError, match="a folder with numbered versions"):
        create_app(tmp_path / place)


def test_one_version_can_be_named(folder):
    from keras_llm.export.served import ServedModel

    model = ServedModel(folder / "10")
    assert (model.name, model.version) == ("rose", 10)
    with pytest.raises(InputError, match="damaged"):
        ServedModel(folder / "9")


def test_missing_libraries_are_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(InputError, match=r"pip install .keras_llm\[serve\]"):
        serve(folder)


def test_serve_runs_the_app(folder, monkeypatch):
    found = {}
    monkeypatch.setattr(
        "uvicorn.run", lambda app, **k: found.update(k, app=app)
    )
    serve(folder, port=0)
    assert found["host"] == "127.0.0.1" and found["port"] == 0
    assert found["app"].title == "rose"
    with pytest.raises(InputError, match="from 0 to 65535. Received: 70000"):
        module.serve(folder, port=70000)


def test_a_port_that_is_taken_is_a_sentence(folder):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port}. Received: Addr"):
            serve(folder, port=port)
    with pytest.raises(InputError, match="Expected to listen on no.such"):
        serve(folder, "no.such.host.invalid")


def test_weights_cut_short_are_damage(folder, tmp_path):
    shutil.copytree(folder / "10", tmp_path / "rose" / "1")
    [data] = tmp_path.glob("rose/1/variables/*.data-*")
    data.write_bytes(data.read_bytes()[:100])
    with pytest.raises(InputError, match="damaged"):
        create_app(tmp_path / "rose")


def test_over_a_real_socket(folder, lm):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = f"from keras_llm.export.serve import serve\nserve({str(folder)!r}, "
    server = subprocess.Popen(
        [sys.executable, "-c", f"{code}port={port})"],
        stderr=subprocess.DEVNULL,
    )
    try:
        address = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 120
        while not answers(address) and time.monotonic() < deadline:
            assert server.poll() is None, "the server ended by itself"
            time.sleep(0.2)
        body = {"prompt": "a rose", "max_new_tokens": 4}
        made = httpx.post(address + "/generate", json=body, timeout=60).json()
    finally:
        server.terminate()
        server.wait()
    assert made["text"] == lm.generate("a rose", max_new_tokens=4)


def answers(address):
    try:
        return httpx.get(address + "/health").status_code == 200
    except httpx.TransportError:
        return False
