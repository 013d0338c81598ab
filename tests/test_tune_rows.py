"""Rows to tune on: what is learned, what attends to what, what is left out."""

import itertools

import numpy as np
import pytest
from tuning_examples import BYTES, WORDS, conversations, decoder, learned

from keras_llm import InputError
from keras_llm.data import (
    Counts,
    Document,
    open_rows,
    pack_corpus,
    training_arrays,
)
from keras_llm.tokenizers import HostTokenizer
from keras_llm.tokenizers.chat import TEMPLATES
from keras_llm.train import fit
from keras_llm.train.losses import token_loss
from keras_llm.tune import (
    Conversation,
    chat_rows,
    completion_rows,
    exchange,
    mix,
    read_conversations,
    text_rows_of,
)

CHATML = HostTokenizer.train(
    ["a rose is a rose"],
    268,
    special_tokens=("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
    progress=False,
)


def loss_sums(model, rows) -> tuple[float, float]:
    """Summed cross-entropy and weight of all rows."""
    inputs, targets, weights = rows.batch(np.arange(len(rows)))
    loss = token_loss(model(inputs), targets, weights)
    return float(loss.cross_entropy), float(loss.tokens)


@pytest.mark.parametrize(
    ("learn", "expected"),
    [
        # <eot> | U h i E | A y o E | U b E | A o k E
        ("answers", "00000111000011100"),
        ("last", "00000000000011100"),
        ("all", "11111111111111100"),
    ],
)
@pytest.mark.parametrize("pack", [True, False])
def test_which_tokens_are_learned(learn, expected, pack):
    talk = Conversation(exchange("hi", "yo", "b", "ok"))
    rows = chat_rows([talk], BYTES, None, 17, learn=learn, pack=pack)
    assert learned(rows) == expected[: rows.time]
    known = BYTES.special_tokens
    user, answer, end, text = (
        known[name]
        for name in ("<|user|>", "<|assistant|>", "<|end|>", "<|endoftext|>")
    )
    ids = [text, user, *b"hi", end, answer, *b"yo", end]
    ids += [user, *b"b", end, answer, *b"ok", end]
    assert rows.inputs["tokens"][0, : len(ids) - 1].tolist() == ids[:-1]
    assert rows.targets[0, : len(ids) - 1].tolist() == ids[1:]
    assert rows.tokenizer == BYTES.fingerprint


def test_a_row_without_packing_is_as_wide_as_the_longest():
    rows = chat_rows(conversations(9), BYTES, None, 512, pack=False)
    assert len(rows) == 9 and rows.time % 8 == 0 and rows.time < 512
    assert rows.inputs["segments"].max() == 1
    used = (rows.inputs["segments"] > 0).sum(1).max()
    assert rows.time - 8 < used <= rows.time


def test_masks_are_those_of_transformers(tmp_path):
    transformers = pytest.importorskip("transformers")
    CHATML.save(tmp_path)
    peer = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(tmp_path / "tokenizer.json")
    )
    peer.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n"
        "{% if m.role == 'assistant' %}{% generation %}{{ m.content }}"
        "<|im_end|>{% endgeneration %}{% else %}{{ m.content }}<|im_end|>"
        "{% endif %}{{ '\n' }}{% endfor %}"
    )
    talks = conversations(20)
    rows = chat_rows(talks, CHATML, "chatml", 512, pack=False)
    for row, talk in enumerate(talks):
        theirs = peer.apply_chat_template(
            list(talk.messages),
            return_dict=True,
            return_assistant_tokens_mask=True,
        )
        ids, mask = theirs["input_ids"], theirs["assistant_masks"]
        count = len(ids) - 1
        assert rows.inputs["tokens"][row, :count].tolist() == ids[:-1]
        assert rows.targets[row, :count].tolist() == ids[1:]
        assert rows.weights[row, :count].tolist() == mask[1:]
        assert not rows.weights[row, count:].any()


@pytest.mark.parametrize("template", ["keras_llm", "alpaca"])
def test_packed_rows_have_the_loss_of_rows_of_their_own(template):
    talks = conversations(24)
    packed, apart = (
        chat_rows(talks, BYTES, template, 400, pack=pack)
        for pack in (True, False)
    )
    assert len(packed) < len(apart) == 24
    assert packed.inputs["segments"].max() > 1
    model = decoder(context_length=400)
    ours, theirs = loss_sums(model, packed), loss_sums(model, apart)
    assert ours[1] == theirs[1]
    assert ours[0] == pytest.approx(theirs[0], rel=1e-5)


def test_packing_keeps_every_conversation_whole():
    talks = conversations(50)
    rows = chat_rows(talks, BYTES, None, 300)
    encoded = {
        tuple(TEMPLATES["keras_llm"].encode(BYTES, talk.messages)[0][:-1])
        for talk in talks
    }
    found = set()
    for tokens, segments in zip(
        rows.inputs["tokens"], rows.inputs["segments"], strict=True
    ):
        places = itertools.groupby(range(len(tokens)), segments.__getitem__)
        for segment, group in places:
            if segment:
                text = [int(tokens[place]) for place in group]
                # A row's very last token is no input.
                end = BYTES.special_tokens["<|end|>"]
                found.add(tuple(text[:-1] if text[-1] == end else text))
    assert found == encoded
    assert rows.context_length <= 300


def test_special_tokens_in_a_message_stay_text():
    talk = Conversation(exchange("<|end|>", "<|endoftext|>"))
    rows = chat_rows([talk], BYTES, None, 64)
    for name, count in (("<|end|>", 2), ("<|endoftext|>", 1)):
        ids = rows.inputs["tokens"][0], rows.targets[0, -1:]
        ids = [*ids[0].tolist(), *ids[1].tolist()]
        assert ids.count(BYTES.special_tokens[name]) == count


def test_what_is_too_long(capsys):
    talks = [
        Conversation(exchange("a", "b" * size), size, f"a.jsonl, line {size}")
        for size in (3, 40, 60)
    ]
    counts = Counts("chats")
    rows = chat_rows(talks, BYTES, None, 16, pack=False, counts=counts)
    assert len(rows) == 1
    assert counts.to_dict()["dropped"] == {"longer than 17 tokens": 2}
    said = capsys.readouterr().err
    assert "2 longer than 17 tokens (a.jsonl, line 40, " in said
    with pytest.raises(InputError, match="17 tokens.*46 in a.jsonl, line 40"):
        chat_rows(talks, BYTES, None, 16, too_long="error")
    rows = chat_rows(talks, BYTES, None, 16, pack=False, too_long="cut")
    assert len(rows) == 3 and rows.time == 16
    assert learned(rows, 1) == "0" * 4 + "1" * 12
    assert "2 cut to 17 tokens" in capsys.readouterr().err
    with pytest.raises(InputError, match=r"2 longer than.*line 60"):
        chat_rows(talks[1:], BYTES, None, 16)
    long_question = [Conversation(exchange("a" * 40, "b"), 1, "a, line 1")]
    with pytest.raises(InputError, match="1 without an answer in 17 tokens"):
        chat_rows(long_question, BYTES, None, 16, too_long="cut")
    with pytest.raises(InputError, match="none"):
        chat_rows([], BYTES, None, 16)


def test_choices_are_checked():
    talks = conversations(1)
    with pytest.raises(InputError, match="'drop', 'cut', 'error'"):
        chat_rows(talks, BYTES, None, 64, too_long="truncate")
    with pytest.raises(InputError, match="'answers', 'last', 'all'"):
        chat_rows(talks, BYTES, None, 64, learn="assistant")
    with pytest.raises(InputError, match="context_length"):
        chat_rows(talks, BYTES, None, 0)
    with pytest.raises(InputError, match="name of a chat template"):
        chat_rows(talks, BYTES, "chatgpt", 64)
    with pytest.raises(InputError, match="special tokens"):
        chat_rows(talks, BYTES, "llama3", 64)
    with pytest.raises(InputError, match="chat template"):
        chat_rows(talks, CHATML, None, 64)


def test_a_template_that_refuses_a_message_names_the_line():
    gemma = HostTokenizer.train(
        ["a"],
        259,
        special_tokens=TEMPLATES["gemma"].special,
        bos="<bos>",
        eos=None,
        progress=False,
    )
    talk = Conversation(exchange("a", "b", system="c"), 7, "a.jsonl, line 7")
    with pytest.raises(InputError, match=r"^a.jsonl, line 7: .*'system'"):
        chat_rows([talk], gemma, "gemma", 64)


def test_completions_without_a_template():
    rows = completion_rows(
        [Conversation(exchange("ab", "cd"))], BYTES, 8, pack=False
    )
    start = BYTES.bos_id
    assert rows.inputs["tokens"][0, :5].tolist() == [start, *b"abcd"]
    assert learned(rows) == "00111000"
    every = completion_rows(
        [Conversation(exchange("ab", "cd"))], BYTES, 8, learn="all"
    )
    assert learned(every) == "11111000"
    with pytest.raises(InputError, match=r"user, assistant, user.*line 3"):
        talk = Conversation(exchange(*"abcd"), 3, "a.jsonl, line 3")
        completion_rows([talk], BYTES, 8)


def test_rows_of_texts_are_those_of_pack_corpus(tmp_path):
    texts = [" ".join(WORDS[:n]) for n in range(1, 12)] * 3
    rows = text_rows_of([*texts, " "], BYTES, 24)
    documents = [Document(text, str(n)) for n, text in enumerate(texts)]
    pack_corpus(documents, BYTES, tmp_path / "rows", context_length=24)
    disk = open_rows(tmp_path / "rows")
    stored = disk[:]
    inputs, targets, weights = training_arrays(
        stored["tokens"], stored["segments"]
    )
    assert rows.inputs.keys() == inputs.keys()
    for name, array in inputs.items():
        np.testing.assert_array_equal(rows.inputs[name], array)
    np.testing.assert_array_equal(rows.targets, targets)
    np.testing.assert_array_equal(rows.weights, weights)
    both = mix(rows, disk, 0.5)
    assert len(both) == 2 * len(rows)
    assert both.tokenizer == BYTES.fingerprint


def test_replay_is_the_same_each_time_and_takes_no_row_twice():
    new, old = (
        text_rows_of(["".join(map(chr, range(first, first + count)))], BYTES, 8)
        for first, count in ((32, 80), (20, 99))
    )
    both = mix(new, old, 0.2)
    count = len(both) - len(new)
    assert count == round(len(new) / 4)
    np.testing.assert_array_equal(both.targets[: len(new)], new.targets)
    assert mix(new, old, 0.2).fingerprint == both.fingerprint
    assert mix(new, old, 0.2, seed=1).fingerprint != both.fingerprint
    with pytest.raises(InputError, match=r"Received: 13.*share=0.54"):
        mix(new, old, 0.9)
    with pytest.raises(InputError, match="above 0"):
        mix(new, old, 1.0)
    with pytest.raises(InputError, match="tokens a row"):
        mix(new, text_rows_of(["b" * 99], BYTES, 16), 0.1)
    with pytest.raises(InputError, match="same tokenizer"):
        mix(new, text_rows_of(["b" * 99], CHATML, 8), 0.1)


def test_a_model_learns_the_books_answers(shared_data):
    path = shared_data / "llms_from_scratch" / "instruction-data.json"
    talks = list(itertools.islice(read_conversations(path), 60))
    rows = chat_rows(talks, BYTES, None, 128)
    model = decoder(context_length=128)
    before = loss_sums(model, rows)[0]
    settings = dict(steps=20, batch_size=4, learning_rate=1e-2)
    report = fit(model, rows, tokenizer=BYTES, **settings)
    assert report.steps == 20
    assert loss_sums(model, rows)[0] < 0.8 * before
