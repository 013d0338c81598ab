"""Exported models as subjects: they answer what Keras answers."""

import numpy as np
import pytest
from served_models import language_model

from keras_llm.compare import LitertSubject, SavedModelSubject, open_subject
from keras_llm.errors import InputError
from keras_llm.evaluate import Continuation, Prompt, Subject
from keras_llm.evaluate.pairs_rule import (
    encode_pair,
    pair_window,
    rolling_windows,
)
from keras_llm.export import litert, saved_model
from keras_llm.export.server.artifacts import open_artifact
from keras_llm.export.server.saved_signatures import SavedSignatures
from keras_llm.generate import TokenGenerator
from keras_llm.sampling import GenerationSettings

REQUESTS = [
    Continuation("a rose is", " a rose"),
    Continuation("a rose is ", "a king"),  # the space moves
    Continuation("", "a rose"),
    Continuation("the king who was " * 20, " naïve"),  # is cut
    Continuation("a rose is", " a"),
]
TEXTS = ["a rose", "", "the king who said: naïve 日本 🙂 " * 8]
PROMPTS = [
    Prompt("a rose", (), 8),
    Prompt("", (), 5),
    Prompt("the king who was " * 20, (), 12),
    Prompt("naïve", (), 4, temperature=0.9, seed=5),
]
SIGNATURES = ("score_tokens", "serving_default", "generate", "start")
LIMIT = 64  # the context of these models


@pytest.fixture(scope="module")
def lm():
    return language_model("llama", num_layers=1)


@pytest.fixture(scope="module")
def folder(lm, tmp_path_factory):
    """A SavedModel in a folder of artifacts."""
    folder = tmp_path_factory.mktemp("artifacts")
    options = {"verify": False, "warmup": False, "signatures": SIGNATURES}
    saved_model(lm, folder / "saved_model", version=7, **options)
    return folder


@pytest.fixture(scope="module")
def saved(folder):
    return open_subject(folder, name="rose")


@pytest.fixture(scope="module")
def bundle(lm, tmp_path_factory):
    path = tmp_path_factory.mktemp("litert") / "rose.litertlm"
    litert(lm, path, verify=False)
    return open_subject(path)


@pytest.fixture(params=["saved", "bundle"])
def subject(request):
    return request.getfixturevalue(request.param)


def by_hand(lm, window):
    """Log-probabilities of a window's scored tokens, and the likeliest."""
    tokens, scored = window
    logits = np.array(lm.model(np.array([tokens[:-1]]))[0], "float64")
    logits -= np.log(np.exp(logits).sum(-1, keepdims=True))
    wanted = np.array(tokens[1:])
    own = logits[np.arange(len(wanted)), wanted]
    return own[-scored:], (logits.argmax(-1) == wanted)[-scored:]


def test_likelihoods_are_those_of_keras(lm, subject):
    assert isinstance(subject, Subject)
    found = subject.likelihoods(REQUESTS)
    for one, (context, continuation) in zip(found, REQUESTS, strict=True):
        ids = encode_pair(
            lm.encode_prompt, context, continuation, lm.tokenizer.bos_id
        )
        own, likeliest = by_hand(lm, pair_window(*ids, LIMIT))
        assert one.total == pytest.approx(own.sum(), abs=1e-3)
        assert one.greedy == likeliest.all()


def test_special_tokens_of_a_chat_are_what_they_are_to_keras(lm, subject):
    turns = "<|endoftext|>a rose<|endoftext|>"
    requests = [Continuation(turns, " is"), Continuation("a", turns)]
    keras = open_subject(lm)
    found, expected = (s.likelihoods(requests) for s in (subject, keras))
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.total == pytest.approx(theirs.total, abs=1e-3)
    talk = [{"role": "user", "content": "a rose"}]
    asked = keras.chat_prompt(talk)
    assert subject.chat_prompt(talk) == asked != "a rose"
    prompts = [Prompt(turns, (), 6), Prompt(asked, (), 6)]
    assert subject.generate(prompts) == keras.generate(prompts)
    [ours], [theirs] = (s.token_scores([turns]) for s in (subject, keras))
    assert ours.tokens == theirs.tokens
    np.testing.assert_allclose(
        *(s.log_probabilities for s in (ours, theirs)), atol=1e-3
    )


def test_the_likeliest_word_is_greedy(lm, subject):
    words = [" is", " a", " rose", "b", "🙂", "the king", "d"]
    logits = np.array(lm.model(np.array([lm.encode_prompt("a rose")])))[0, -1]
    best = lm.tokenizer.decode([int(logits.argmax())])
    requests = [Continuation("a rose", word) for word in [*words, best]]
    found = subject.likelihoods(requests)
    expected = []
    for request in requests:
        ids = encode_pair(lm.encode_prompt, *request, 0)
        expected.append(bool(by_hand(lm, pair_window(*ids, LIMIT))[1].all()))
    assert [one.greedy for one in found] == expected


def test_whole_texts_of_any_length(lm, subject):
    found = subject.token_scores(TEXTS)
    for one, total, text in zip(
        found, subject.rolling(TEXTS), TEXTS, strict=True
    ):
        ids = lm.tokenizer.encode(text)
        assert len(one.tokens) == len(ids)
        parts = [
            by_hand(lm, window)[0]
            for window in rolling_windows(ids, lm.start_id, LIMIT)
        ]
        expected = np.concatenate([np.zeros(0), *parts])
        np.testing.assert_allclose(one.log_probabilities, expected, atol=1e-3)
        assert total == pytest.approx(expected.sum(), abs=1e-2)
    assert "".join(found[0].tokens) == TEXTS[0]


def test_answers_are_those_of_keras(lm, subject):
    found = subject.generate(PROMPTS)
    assert found == open_subject(lm).generate(PROMPTS)
    assert all(found) and len(set(found)) == len(PROMPTS)
    alone = TokenGenerator(lm.model, lm.end_ids)
    settings = GenerationSettings(max_new_tokens=12)
    ids = lm.encode_prompt(PROMPTS[2].context)[-(LIMIT - 12) :]
    assert found[2] == spoken(lm, alone.generate([ids], [settings])[0])


def spoken(lm, ids):
    """The text of ids but the special ones."""
    special = set(lm.tokenizer.special_tokens.values())
    return lm.decode(token for token in ids if token not in special)


def test_a_stop_string_ends_an_answer(lm, subject):
    whole = lm.generate("a rose", max_new_tokens=20)
    stop = whole[3:5]
    asked = [Prompt("a rose", (stop,), 20), Prompt("a rose", (), 20)]
    assert subject.generate(asked) == [whole[: whole.index(stop)], whole]


def test_names_and_fingerprints(folder, saved, bundle):
    assert saved.name == "rose"
    assert bundle.name.endswith("rose.litertlm")
    again = SavedModelSubject(folder / "saved_model" / "7")
    assert again.name == "saved_model/7"
    assert again.fingerprint == saved.fingerprint
    assert bundle.fingerprint != saved.fingerprint


def test_a_saved_model_of_an_older_version(folder, monkeypatch):
    known = SavedSignatures.function
    monkeypatch.setattr(
        SavedSignatures,
        "function",
        lambda self, name: (
            None if name == "score_tokens" else known(self, name)
        ),
    )
    with pytest.raises(InputError, match="with the signature 'score_tokens'"):
        open_subject(folder)
    engine, _ = open_artifact(folder)
    with pytest.raises(InputError, match="Export the model again"):
        engine.score([1, 2])


def test_the_server_names_the_likeliest_token_of_an_echo(lm, folder):
    engine, _ = open_artifact(folder)
    ids = lm.encode_prompt("a rose is a rose")
    own, _ = by_hand(lm, (ids, len(ids) - 1))
    logits = np.array(lm.model(np.array([ids[:-1]]))[0])
    for token, value, row, wanted in zip(
        engine.score(ids), own, logits, ids[1:], strict=True
    ):
        assert token.id == wanted
        assert token.logprob == pytest.approx(value, abs=1e-3)
        assert token.top[0][0] == row.argmax()
        assert dict(token.top)[wanted] == token.logprob
    assert engine.score(ids[:1]) == []


@pytest.mark.slow
def test_a_tflite_file_takes_a_tokenizer(lm, bundle, tmp_path):
    path = tmp_path / "rose.tflite"
    litert(lm, path, verify=False)
    with pytest.raises(InputError, match="with the folder of its model"):
        open_subject(path)
    lm.save(tmp_path / "model")
    subject = open_subject(path, tokenizer=tmp_path / "model", threads=2)
    assert subject.generate(PROMPTS[:2]) == bundle.generate(PROMPTS[:2])
    assert subject.fingerprint != bundle.fingerprint


def test_no_artifact(tmp_path):
    with pytest.raises(InputError, match="which does not exist"):
        LitertSubject(tmp_path / "rose.litertlm")
    with pytest.raises(InputError, match="which has none"):
        open_subject(tmp_path)
