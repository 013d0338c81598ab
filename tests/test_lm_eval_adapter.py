"""A model of ours in the lm-evaluation-harness, beside its own HFLM."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from harness_peer import harness, write_task
from test_harness_parity import CHOICE, CONTEXTS, SUMS, choice_rows, metrics
from tiny_tuning import language_model

from keras_llm.errors import InputError
from keras_llm.evaluate import KerasSubject, evaluate_tasks, lm_eval_model
from keras_llm.evaluate import lm_eval_adapter as adapter

pytest.importorskip("lm_eval")

PAIRS = [
    ("a rose is", " a rose"),
    ("a rose is ", "a king"),  # the space moves
    ("", "a rose"),
    ("the king " * 20, " who was"),  # loses its beginning
    ("a rose is", " a rose"),
    ("naïve", " 日本"),
    ("the king", " who"),
]
TEXTS = ["a rose is a rose", "the king said: " * 20, "x", "naïve 日本"]
TASKS = {
    "choice": CHOICE | {"metric_list": metrics("acc", "acc_norm")},
    "contexts": {
        "output_type": "multiple_choice",
        "doc_to_text": "gold",
        "doc_to_target": "rest",
        "doc_to_choice": "contexts",
        "metric_list": metrics("acc"),
    },
    "rolling": {
        "output_type": "loglikelihood_rolling",
        "doc_to_text": "",
        "doc_to_target": "{{q}} {{options[0]}}",
        "metric_list": metrics("word_perplexity", "bits_per_byte"),
    },
    "answers": {
        "output_type": "generate_until",
        "doc_to_text": "{{a}} + {{b}} =",
        "doc_to_target": "answer",
        "generation_kwargs": {"until": ["e"], "max_gen_toks": 6},
        "metric_list": metrics("exact_match"),
    },
}
ROWS = {
    "choice": choice_rows(15, 3),
    "contexts": [{**row, "gold": int(row["gold"])} for row in CONTEXTS],
    "rolling": choice_rows(8),
    "answers": SUMS[:6],
}


def ask(method, rows):
    """Asks the harness's way."""
    return method([SimpleNamespace(args=row) for row in rows], True)


@pytest.fixture(scope="module")
def lm():
    return language_model(context_length=160)


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory):
    """Ours, plain and fast, and HFLM over one GPT-2."""
    pytest.importorskip("torch")
    from lm_eval.models.huggingface import HFLM
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers_folders import gpt2_folder

    from keras_llm import zoo

    folder = gpt2_folder(tmp_path_factory.mktemp("peer") / "gpt2")
    peer = HFLM(
        pretrained=AutoModelForCausalLM.from_pretrained(folder),
        tokenizer=AutoTokenizer.from_pretrained(folder),
        batch_size=2,
    )
    lm = zoo.load(str(folder))
    ours = lm_eval_model(lm, batch_size=3)
    return ours, lm_eval_model(lm, shared_prefix=True), peer


def test_likelihoods_are_those_of_hflm(gpt2):
    plain, fast, peer = gpt2
    tokens = plain.subject.tokenizer
    words = [tokens.decode([i]) for i in range(2, tokens.vocabulary_size)]
    choices = [
        ("the king", word)
        for word in words
        if word.strip() and "\ufffd" not in word
    ]
    pairs = [*PAIRS, *choices]
    expected = ask(peer.loglikelihood, pairs)
    assert 0 < sum(greedy for _, greedy in expected) < len(pairs)
    for model in (plain, fast):
        found = ask(model.loglikelihood, pairs)
        np.testing.assert_allclose(
            [total for total, _ in found],
            [total for total, _ in expected],
            atol=1e-4,
        )
        assert [is_greedy for _, is_greedy in found] == [
            greedy for _, greedy in expected
        ]


def test_whole_texts_are_those_of_hflm(gpt2):
    plain, fast, peer = gpt2
    rows = [(text,) for text in TEXTS]
    expected = ask(peer.loglikelihood_rolling, rows)
    for model in (plain, fast):
        found = ask(model.loglikelihood_rolling, rows)
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_answers_are_those_of_hflm(gpt2):
    plain, _, peer = gpt2
    rows = [
        ("a rose", {"until": ["F"], "max_gen_toks": 8}),
        ("the king who", {"until": "e", "max_gen_toks": 8}),
        ("the king " * 20, {"until": [], "max_gen_toks": 8}),
        ("naïve", {"do_sample": False, "max_new_tokens": 5}),
    ]
    expected = ask(peer.generate_until, rows)
    assert ask(plain.generate_until, rows) == expected
    assert len(set(expected)) > 2


def test_it_says_what_hflm_says_of_itself(gpt2):
    plain, _, peer = gpt2
    assert plain.max_length == peer.max_length
    assert plain.eot_token_id == peer.eot_token_id
    assert plain.prefix_token_id == peer.prefix_token_id
    for added in (None, False):
        ids = plain.tok_encode("a rose", add_special_tokens=added)
        assert ids == peer.tok_encode("a rose", add_special_tokens=added)
    count = plain.get_model_info()["model_num_parameters"]
    assert count == peer.get_model_info()["model_num_parameters"]


def test_the_start_token_stands_once(lm):
    model = lm_eval_model(lm)
    start = model.prefix_token_id
    assert model.tok_encode("a") == [start, 97]
    assert model.tok_encode("a", add_special_tokens=True) == [start, 97]
    assert model.tok_encode("a", add_special_tokens=False) == [97]
    assert model.tok_encode("<|endoftext|>a") == [start, 97]


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tasks")
    paths = [
        write_task(folder, {"test": ROWS[name]}, task=name, **fields)
        for name, fields in TASKS.items()
    ]
    return folder, paths


@pytest.mark.parametrize("shared", [False, True])
def test_its_own_tasks_give_what_the_native_evaluator_finds(
    lm, tasks, shared, monkeypatch
):
    folder, paths = tasks
    model = lm_eval_model(lm, shared_prefix=shared)
    found = harness(monkeypatch, folder, list(TASKS), model=model)
    native = evaluate_tasks(KerasSubject(lm), paths, progress=False)
    ours = native.to_dict()["results"]
    assert found["config"]["model_name"] == "model"
    compared = 0
    for task, results in found["results"].items():
        for key, value in results.items():
            if isinstance(value, float) and "stderr" not in key:
                assert ours[task][key] == pytest.approx(value, rel=1e-5), key
                compared += 1
    assert compared >= 6


def test_ways_of_drawing_that_there_are_not(lm):
    model = lm_eval_model(lm)
    wanted = {"do_sample": True, "temperature": 0.7, "top_p": 0.9}
    with pytest.raises(InputError, match="Received: top_p. Override them"):
        ask(model.generate_until, [("a", wanted)])
    del wanted["top_p"]
    drawn = ask(model.generate_until, [("a", wanted | {"max_gen_toks": 9})] * 2)
    assert drawn[0] != drawn[1]


def test_conversations(lm):
    model, talk = lm_eval_model(lm), [{"role": "user", "content": "hi"}]
    asked = model.apply_chat_template(talk)
    assert asked == "<|endoftext|><|user|>hi<|end|><|assistant|>"
    begun = [*talk, {"role": "assistant", "content": "Answer: "}]
    text = model.apply_chat_template(begun, add_generation_prompt=False)
    assert text == f"{asked}Answer:"
    assert json.loads(model.chat_template(True))["generation"]
    assert model.chat_template(False) == ""
    assert model.tokenizer_name == lm.tokenizer.fingerprint
    mute = lm_eval_model(_mute(lm))
    with pytest.raises(InputError, match="with a chat template"):
        mute.apply_chat_template(talk)


def _mute(lm):
    from keras_llm import CausalLM
    from keras_llm.tokenizers import HostTokenizer

    words = HostTokenizer.train(
        ["a"], 257, special_tokens=["<|endoftext|>"], progress=False
    )
    return CausalLM(lm.model, words)


def test_its_cache_is_told(lm):
    told = []
    model = lm_eval_model(lm)
    model.set_cache_hook(
        SimpleNamespace(add_partial=lambda *what: told.append(what))
    )
    [answer] = ask(model.loglikelihood, [("a", " b")])
    [whole] = ask(model.loglikelihood_rolling, [("a b",)])
    assert told == [
        ("loglikelihood", ("a", " b"), answer),
        ("loglikelihood_rolling", ("a b",), whole),
    ]


def test_without_the_harness(lm, monkeypatch):
    adapter._model_class.cache_clear()
    monkeypatch.setitem(sys.modules, "lm_eval.api.model", None)
    with pytest.raises(InputError, match=r"keras_llm\[lm-eval\]"):
        lm_eval_model(lm)
