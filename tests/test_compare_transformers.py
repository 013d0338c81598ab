"""Folders of `transformers` as subjects, against the harness's own HFLM."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from transformers_folders import gpt2_folder, t5_folder, tokenizer

from keras_llm.compare import (
    Seq2SeqSubject,
    TransformersSubject,
    open_subject,
)
from keras_llm.errors import InputError
from keras_llm.evaluate import Continuation, Prompt, Subject

pytest.importorskip("torch")

REQUESTS = [
    Continuation("a rose is", " a rose"),
    Continuation("a rose is ", "a king"),  # the space moves
    Continuation("", "a rose"),
    Continuation("the king " * 20, " who was"),  # loses its beginning
    Continuation("a rose is", " a rose"),
    Continuation("naïve", " 日本"),
]
TEXTS = ["a rose is a rose", "the king said: " * 20, "x", "naïve 日本"]
PROMPTS = [
    Prompt("a rose", ("F",), 8),
    Prompt("the king who", ("e",), 8),
    Prompt("the king " * 20, (), 8),
    Prompt("naïve", (), 8),
]


@pytest.fixture(scope="module", params=["causal", "seq2seq"])
def pair(request, tmp_path_factory):
    """A subject and HFLM over the same model."""
    harness = pytest.importorskip("lm_eval.models.huggingface")
    folder = tmp_path_factory.mktemp("peer") / request.param
    make = {"causal": gpt2_folder, "seq2seq": t5_folder}[request.param]
    subject = open_subject(f"hf:{make(folder)}")
    model, words = subject.model, subject.tokenizer
    peer = harness.HFLM(
        pretrained=model, tokenizer=words, backend=request.param, batch_size=2
    )
    return subject, peer


def ask(method, rows):
    """Asks the harness's way."""
    return method([SimpleNamespace(args=row) for row in rows], True)


def test_the_right_kind_is_opened(pair):
    subject, peer = pair
    kind = {"causal": TransformersSubject, "seq2seq": Seq2SeqSubject}
    assert type(subject) is kind[peer.backend]
    assert isinstance(subject, Subject)
    assert subject.context_length == peer.max_length


def test_likelihoods_are_the_harnesss(pair):
    subject, peer = pair
    found = subject.likelihoods(REQUESTS)
    expected = ask(peer.loglikelihood, REQUESTS)
    totals = [total for total, _ in expected]
    np.testing.assert_allclose([one.total for one in found], totals, atol=1e-4)
    assert [one.greedy for one in found] == [greedy for _, greedy in expected]


def test_the_likeliest_continuation_is_greedy(pair):
    subject, peer = pair
    words = subject.spell(range(2, 320))
    requests = [
        Continuation(context, word)
        for context in ("a rose", "the king who", "said:")
        for word in words
        if word.strip() and "�" not in word
    ]
    found = [one.greedy for one in subject.likelihoods(requests)]
    expected = ask(peer.loglikelihood, requests)
    assert found == [greedy for _, greedy in expected]
    assert 0 < sum(found) < len(found)


def test_whole_texts_are_the_harnesss(pair):
    subject, peer = pair
    expected = ask(peer.loglikelihood_rolling, [(text,) for text in TEXTS])
    found = subject.rolling(TEXTS)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    scored = subject.token_scores(TEXTS)
    sums = [one.log_probabilities.sum() for one in scored]
    np.testing.assert_allclose(sums, expected, rtol=1e-5)
    assert "".join(scored[0].tokens).removesuffix("</s>") == TEXTS[0]


def test_answers_are_the_harnesss(pair):
    subject, peer = pair
    rows = [
        (one.context, {"until": list(one.until), "max_gen_toks": 8})
        for one in PROMPTS
    ]
    expected, found = ask(peer.generate_until, rows), subject.generate(PROMPTS)
    if peer.backend == "causal":
        assert found == expected
    else:  # there the harness counts the prompt's tokens as new ones
        assert all(map(str.startswith, expected, found))
    assert len(set(found)) > 2
    assert "F" not in found[0] and "e" not in found[1]


def test_a_drawn_answer_depends_on_its_seed_alone(pair):
    subject, _ = pair
    drawn = [Prompt("a rose", (), 8, 1.0, seed) for seed in (3, 4)]
    both = subject.generate([PROMPTS[3], *drawn])
    assert both[1:] == [subject.generate([one])[0] for one in drawn]
    assert both[1] != both[2]
    cold = Prompt("naïve", (), 8, 1e-4)
    assert subject.generate([cold]) == subject.generate([PROMPTS[3]])


def test_one_batch_or_many(pair):
    subject, _ = pair
    expected = subject.rolling(TEXTS), subject.generate(PROMPTS)
    subject._batch_tokens, usual = 1, subject._batch_tokens
    found = subject.rolling(TEXTS), subject.generate(PROMPTS)
    subject._batch_tokens = usual
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5)
    assert found[1] == expected[1]


def test_too_long_a_continuation_and_answer(pair):
    subject, peer = pair
    most = subject.context_length
    with pytest.raises(InputError, match=f"of at most {most} tokens"):
        subject.likelihoods([Continuation("a", " rose" * 60)])
    if peer.backend == "causal":
        with pytest.raises(InputError, match="max_new_tokens below 32"):
            subject.generate([Prompt("a", (), 32)])


def test_a_text_that_begins_with_the_start_gets_no_second(tmp_path):
    subject = TransformersSubject(gpt2_folder(tmp_path / "gpt2"))
    end = subject.tokenizer.eos_token
    assert subject.encode(f"{end}a") == [subject.start, *subject.encode("a")]
    plain, started = subject.rolling(["a rose", f"{end}a rose"])
    assert plain == pytest.approx(started)


def test_a_chat_template(tmp_path):
    subject = TransformersSubject(gpt2_folder(tmp_path / "gpt2"))
    talk = [{"role": "user", "content": "a rose"}]
    with pytest.raises(InputError, match="whose has none"):
        subject.chat_prompt(talk)
    subject.tokenizer.chat_template = (
        "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
        "{% if add_generation_prompt %}assistant:{% endif %}"
    )
    assert subject.chat_prompt(talk) == "user: a rose\nassistant:"


def test_the_fingerprint_is_of_the_content(tmp_path):
    folder = gpt2_folder(tmp_path / "gpt2")
    first = TransformersSubject(folder).fingerprint
    (folder / "README.md").write_text("Words change nothing.")
    assert TransformersSubject(folder, name="other").fingerprint == first
    words = folder / "tokenizer.json"
    words.write_text(words.read_text() + "\n")
    assert TransformersSubject(folder).fingerprint != first


def test_missing_weights_are_not_made_up(tmp_path):
    from safetensors.numpy import load_file, save_file

    folder = gpt2_folder(tmp_path / "gpt2")
    path = folder / "model.safetensors"
    arrays = load_file(path)
    del arrays["transformer.ln_f.weight"]
    save_file(arrays, path, {"format": "pt"})
    with pytest.raises(InputError, match="none for transformer.ln_f.weight"):
        TransformersSubject(folder)


def test_what_transformers_cannot_load(tmp_path):
    with pytest.raises(InputError, match="Received: no such folder"):
        open_subject(f"hf:{tmp_path / 'nowhere'}")
    with pytest.raises(InputError, match="Received: one without"):
        TransformersSubject(tmp_path)
    config = json.dumps({"model_type": "camel"})
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(InputError, match="can load from .*camel"):
        open_subject(tmp_path)


def test_torch_is_missing(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "t5"}))
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(InputError, match='pip install "transformers'):
        open_subject(tmp_path)


def test_a_tokenizer_without_start_and_end(tmp_path):
    folder = gpt2_folder(tmp_path / "gpt2")
    words = tokenizer("<|endoftext|>")
    words.eos_token = None
    words.save_pretrained(folder)
    subject = TransformersSubject(folder)
    assert subject.likelihoods(REQUESTS[:1])[0].total < 0
    with pytest.raises(InputError, match="whose has neither"):
        subject.likelihoods([Continuation("", "a rose")])
