"""CausalLM.chat: the reply, streamed; the template travels with the model."""

import dataclasses
import json

import contract
import keras
import numpy as np
import pytest

from keras_llm import BytePairTokenizer, CausalLM, InputError
from keras_llm.conversation import after
from keras_llm.tokenizers.chat import TEMPLATES

REPLY = "Grüß dich, 日本! 😀"
TALK = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module")
def tokenizer():
    return BytePairTokenizer.train([REPLY * 3], 300, progress=False)


@pytest.fixture(scope="module")
def lm(tokenizer):
    """A model that has learned one reply by heart, with the loss mask."""
    keras.utils.set_random_seed(1)
    config = contract.CONFIGS["llama"].replace(
        vocabulary_size=tokenizer.vocabulary_size, context_length=96
    )
    model = contract.decoder(config)
    ids, mask = TEMPLATES["keras_llm"].encode(
        tokenizer, [*TALK, {"role": "assistant", "content": REPLY}]
    )
    row, weights = np.array([ids]), np.array([mask], "float32")
    model.compile(
        keras.optimizers.Adam(0.02),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    model.fit(row[:, :-1], row[:, 1:], 1, 60, 0, sample_weight=weights[:, 1:])
    return CausalLM(model, tokenizer)


def test_the_reply_is_streamed_and_ends_with_the_turn(lm):
    pieces = list(lm.chat(TALK, max_new_tokens=60))
    assert "".join(pieces) == REPLY == "".join(lm.chat("Hello"))
    assert len(pieces) > 2 and "\ufffd" not in pieces


def test_what_is_not_in_the_mask_is_not_learned(lm):
    """The question was never a target: the model does not ask it."""
    ids = lm.tokenizer.encode("<|user|>", allowed_special="all")
    logits = np.asarray(lm.model(np.array([[lm.start_id, *ids]])))[0, -1]
    (wanted,) = lm.tokenizer.encode("H")
    assert logits.argmax() != wanted


def test_settings_of_generate_are_understood(lm):
    first = "".join(lm.chat(TALK, max_new_tokens=60, stop=("dich",)))
    assert first == REPLY.partition("dich")[0]
    with pytest.raises(InputError, match="warmth"):
        list(lm.chat(TALK, warmth=3))


def test_a_conversation_must_fit(lm):
    with pytest.raises(InputError, match="context"):
        list(lm.chat("word " * 96))


def test_the_template_comes_back_from_the_folder(lm, tokenizer, tmp_path):
    own = dataclasses.replace(TEMPLATES["keras_llm"], default_system="Sing.")
    CausalLM(lm.model, tokenizer, chat=own).save(tmp_path / "own")
    assert CausalLM.load(tmp_path / "own").chat_template == own
    lm.save(tmp_path / "lm")
    assert "".join(CausalLM.load(tmp_path / "lm").chat(TALK)) == REPLY


def test_a_changed_template_is_refused(lm, tmp_path):
    lm.save(tmp_path / "lm")
    path = tmp_path / "lm" / "chat.json"
    changed = json.loads(path.read_text()) | {"generation": "<|user|>"}
    path.write_text(json.dumps(changed))
    with pytest.raises(InputError, match="chat.json"):
        CausalLM.load(tmp_path / "lm")


@pytest.fixture(scope="module")
def plain(lm):
    """The same model with a tokenizer that knows no turns."""
    tokenizer = BytePairTokenizer.train(
        ["text"], 260, special_tokens=("<|endoftext|>",), progress=False
    )
    return CausalLM(lm.model, tokenizer)


def test_a_model_without_a_template_says_what_to_pass(plain):
    assert plain.chat_template is None
    with pytest.raises(InputError, match='chat="chatml"'):
        list(plain.chat("Hi"))


def test_a_template_needs_its_special_tokens(plain):
    with pytest.raises(InputError, match="im_start"):
        CausalLM(plain.model, plain.tokenizer, chat="chatml")
    with pytest.raises(InputError, match="keras_llm, alpaca, chatml"):
        CausalLM(plain.model, plain.tokenizer, chat="jinja")


def test_a_template_says_where_a_text_ends(plain):
    lm = CausalLM(plain.model, plain.tokenizer, chat="alpaca")
    assert lm.end_ids == (plain.tokenizer.eos_id,)
    assert lm.chat_template == TEMPLATES["alpaca"]


def test_only_the_answer_proper_is_shown():
    mark = TEMPLATES["harmony"].reply_start
    written = f"<|channel|>analysis<|message|>Hm.<|end|>{mark}Four."
    for size in (1, 3, 100):
        pieces = [written[i : i + size] for i in range(0, len(written), size)]
        assert "".join(after(pieces, mark)) == "Four."
