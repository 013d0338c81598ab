"""Our own models as subjects: shared prefixes, and the harness's own HFLM."""

import keras
import numpy as np
import pytest
from tuning_examples import BYTES

from keras_llm import CausalLM, DecoderConfig, adapters, build_decoder
from keras_llm.config import Experts, Rope
from keras_llm.errors import InputError
from keras_llm.evaluate import (
    Continuation,
    KerasSubject,
    Prompt,
    Subject,
    bits_per_byte,
    window_scores,
)
from keras_llm.evaluate.whole_sequences import one_by_one
from keras_llm.evaluate.window_scores import WindowScorer

GEMMA = dict(
    pattern="LG",
    window=4,
    attention_softcap=2.0,
    final_softcap=3.0,
    post_norm="sandwich",
    embed_scale=3.0,
    norm="rms_offset",
    mlp="geglu",
)
LONG = dict(
    scaling="longrope",
    factor=4.0,
    original_context=12,
    short_factors=(1.0, 1.5),
    long_factors=(2.0, 7.0),
)
FAMILIES = {
    "gpt2": dict(rope=None, norm="layer", bias="all", mlp="gelu"),
    "llama": dict(num_kv_heads=2, tie_embeddings=False),
    "gemma": GEMMA | dict(num_kv_heads=1, qk_norm="head"),
    "experts": dict(experts=Experts(count=4, top_k=2, mlp_dim=8)),
    "sinks": dict(attention_sinks=True, pattern="LG", window=3, bias="all"),
    "neox": dict(parallel_block=True, rope=Rope(fraction=0.5)),
    "longrope": dict(rope=Rope(**LONG)),
}


def decoder(context: int = 32, vocabulary: int = 50, **changes):
    """A tiny decoder with weights large enough to tell tokens apart."""
    keras.utils.set_random_seed(0)
    settings = dict(num_layers=2, hidden_dim=16, num_heads=4) | changes
    model = build_decoder(
        DecoderConfig(
            vocabulary_size=vocabulary, context_length=context, **settings
        )
    )
    random = np.random.default_rng(0)
    for weight in model.trainable_weights:
        weight.assign(random.normal(weight, 0.3).astype("float32"))
    return model


def language_model(**changes) -> CausalLM:
    return CausalLM(decoder(vocabulary=BYTES.vocabulary_size, **changes), BYTES)


@pytest.fixture(scope="module")
def lm():
    return language_model()


@pytest.fixture(scope="module")
def subject(lm):
    return KerasSubject(lm)


def windows_of(context: int = 32) -> list:
    """Questions with choices, contexts that begin alike, equal requests."""
    random = np.random.default_rng(1)
    windows = []
    for size in (1, 5, 5, 14, context - 6):
        question = random.integers(0, 50, size).tolist()
        for length in (1, 1, 2, 4, 6):
            choice = random.integers(0, 50, length).tolist()
            windows.append(([*question, *choice], length))
            windows.append(([*question[:-1], 3, *choice], length))
    return [*windows, windows[3], (list(range(10)), 9)]


def check_alike(found, expected) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        values = theirs.log_probabilities
        np.testing.assert_allclose(ours.log_probabilities, values, atol=2e-5)
        assert ours.likeliest.tolist() == theirs.likeliest.tolist()


@pytest.mark.parametrize("family", FAMILIES)
def test_shared_prefixes_change_nothing(family):
    model, windows = decoder(**FAMILIES[family]), windows_of()
    expected = one_by_one(model, batch_size=7)(windows)
    totals = {float(one.log_probabilities.sum()) for one in expected}
    assert len(totals) == len(windows) - 1 and np.ptp([*totals]) > 3
    shared = WindowScorer(model, batch_tokens=128)
    check_alike(shared(windows), expected)
    check_alike(
        WindowScorer(model, 128, shared_prefix=False)(windows), expected
    )
    assert sum(len(tree.tokens) for tree in shared._rows(windows)) < 0.75 * sum(
        len(tokens) - 1 for tokens, _ in windows
    )


def test_greedy_where_the_model_would_say_it():
    model, context = decoder(), [1, 2, 3]
    windows = [([*context, token], 1) for token in range(50)]
    found = WindowScorer(model)(windows)
    logits = np.array(model(np.array([context])))[0, -1]
    assert [one.likeliest[0] for one in found] == [
        token == logits.argmax() for token in range(50)
    ]


def test_parts_of_the_head_and_small_batches_change_nothing(monkeypatch):
    model, windows = decoder(**FAMILIES["gemma"]), windows_of()
    expected = WindowScorer(model)(windows)
    monkeypatch.setattr(window_scores, "LOGITS", 3 * 50)
    check_alike(WindowScorer(model, batch_tokens=1)(windows), expected)


def test_no_windows():
    assert WindowScorer(decoder())([]) == []


def requests() -> list[Continuation]:
    contexts = ("a rose is", "a rose is ", "", "  ", "the king " * 9)
    return [
        Continuation(context, text)
        for context in contexts
        for text in (" a rose", " blue", "x")
    ]


def test_sharing_or_not_of_texts(lm, subject):
    alone = KerasSubject(lm, shared_prefix=False)
    for ours, theirs in zip(
        subject.likelihoods(requests()),
        alone.likelihoods(requests()),
        strict=True,
    ):
        assert ours.total == pytest.approx(theirs.total, abs=2e-5)
        assert ours.greedy == theirs.greedy


def test_a_likelihood_is_the_sum_of_the_models_scores(lm, subject):
    whole, context = lm.score("a rose is red"), lm.score("a rose is")
    [found] = subject.likelihoods([Continuation("a rose is", " red")])
    assert isinstance(subject, Subject)
    assert found.total == pytest.approx(whole[len(context) :].sum(), abs=1e-5)


def test_adapters_and_the_fingerprint():
    lm = language_model()
    plain = KerasSubject(lm)
    adapters.attach(lm.model, adapters.Lora(rank=2))
    for weight in lm.model.trainable_weights:
        weight.assign(np.random.default_rng(0).normal(size=weight.shape))
    with pytest.raises(InputError, match="Make a new one after adapters"):
        plain.likelihoods(requests())
    with pytest.raises(InputError, match="Make a new one after adapters"):
        plain.generate([Prompt("a")])
    adapted, windows = KerasSubject(lm), windows_of()
    check_alike(adapted.score(windows), one_by_one(lm.model, 8)(windows))
    with adapters.adapter_off(lm.model):
        off = KerasSubject(lm)
    found = {plain.fingerprint, adapted.fingerprint, off.fingerprint}
    assert len(found) == 3
    assert KerasSubject(lm).fingerprint == adapted.fingerprint


def test_the_fingerprint_follows_what_answers_depend_on():
    lm, same = language_model(), language_model()
    first = KerasSubject(lm).fingerprint
    assert KerasSubject(same, "other name").fingerprint == first
    weight = same.model.weights[0]
    weight.assign(weight + 1e-6)
    changed = [
        same,
        lm.replace(starts=False),
        lm.replace(end_ids=[3]),
        CausalLM(
            decoder(vocabulary=BYTES.vocabulary_size, window=9, pattern="L"),
            BYTES,
        ),
    ]
    found = [KerasSubject(one).fingerprint for one in changed]
    assert len({first, *found}) == 1 + len(changed)


def test_whole_texts_of_any_length(lm, subject):
    texts = ["a rose is a rose. " * 9, "naïve 日本", "", "x"]
    scored = subject.token_scores(texts)
    assert ["".join(one.tokens) for one in scored] == texts
    assert [len(one.tokens) for one in scored] == [
        len(one.log_probabilities) for one in scored
    ]
    sums = [one.log_probabilities.sum() for one in scored]
    assert subject.rolling(texts) == sums
    report = bits_per_byte(lm.model, lm.tokenizer, texts, progress=False)
    nats = report.nats_per_token * report.tokens
    assert -sum(sums) == pytest.approx(nats, rel=1e-6)
    np.testing.assert_allclose(
        scored[3].log_probabilities, lm.score("x"), atol=1e-5
    )


def test_special_tokens_of_prompts_and_texts(subject):
    bos, user = (BYTES.special_tokens[t] for t in ("<|endoftext|>", "<|user|>"))
    assert subject.encode("<|user|>a") == [bos, user, 97]
    assert subject.encode("<|endoftext|>a") == subject.encode("a") == [bos, 97]
    assert len(subject.text_ids("<|user|>")) == len("<|user|>")
    chat = subject.chat_prompt([{"role": "user", "content": "hi"}])
    template = subject.lm.chat_template
    ids, _ = template.encode(BYTES, "hi", add_generation_prompt=True)
    assert subject.encode(chat) == ids


def test_answers_are_those_of_generate(lm, subject):
    texts = ["a rose", "the king", "x", ""]
    whole = lm.generate(texts, max_new_tokens=12)
    assert len(set(whole)) > 2
    found = subject.generate([Prompt(text, (), 12) for text in texts])
    assert found == [subject.without_special(text) for text in whole]
    assert found != whole  # a special token was among them
    letter = found[0][4]
    stopped = subject.generate(
        [Prompt(texts[0], (letter, ""), 12), Prompt("x", (), 3)]
    )
    assert stopped[0] == whole[0].split(letter)[0]


def test_special_tokens_are_left_out_of_answers(subject):
    assert subject.without_special("a<|user|>b<|end|>") == "ab"


def test_a_drawn_answer_depends_on_its_seed_alone(subject):
    drawn = [Prompt("a rose", (), 8, 1.0, seed) for seed in (3, 4, 3)]
    found = subject.generate([Prompt("the king who", (), 3), *drawn])
    assert found[1:] == [subject.generate([one])[0] for one in drawn]
    assert found[1] == found[3] != found[2]


def test_a_long_prompt_loses_its_beginning(subject):
    long, end = "the king " * 20, ("the king " * 20)[-28:]
    cut = subject.generate([Prompt(long, (), 4)])
    assert subject.prompt_ids(Prompt(long, (), 4)) == list(end.encode())
    small = KerasSubject(subject.lm, batch_tokens=1)
    assert small.generate([Prompt(long, (), 4)]) == cut


def test_what_does_not_fit_is_refused(subject):
    with pytest.raises(InputError, match="at most 32 tokens"):
        subject.likelihoods([Continuation("a", " rose" * 7)])
    with pytest.raises(InputError, match="Ask for a shorter answer"):
        subject.generate([Prompt("a", (), 32)])
    with pytest.raises(InputError, match="a token of its own|one token of its"):
        subject.likelihoods([Continuation("a", "")])


def test_a_model_without_a_template_or_a_start():
    from keras_llm.tokenizers import HostTokenizer

    words = HostTokenizer.train(
        ["a"], 256, special_tokens=(), bos=None, eos=None, progress=False
    )
    bare = KerasSubject(CausalLM(decoder(vocabulary=256), words), "bare")
    assert bare.likelihoods([Continuation("a", "b")])[0].total < 0
    with pytest.raises(InputError, match="bare, whose has neither"):
        bare.likelihoods([Continuation("", "b")])
    with pytest.raises(InputError, match="with a chat template"):
        bare.chat_prompt([{"role": "user", "content": "hi"}])
