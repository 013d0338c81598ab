"""Text in, text out, and everything back from a folder."""

import json
import shutil

import contract
import numpy as np
import pytest

from keras_llm import BytePairTokenizer, CausalLM, InputError, float32_copy
from keras_llm.evaluate import bits_per_byte, rolling_windows
from keras_llm.stopping import StopStream, cut

TEXT = (
    "Ein kleiner Text über große Dinge: 日本語, emoji 😀 and plain words. "
    "The quick brown fox jumps over the lazy dog, and then it rests. "
)


@pytest.fixture(scope="module")
def tokenizer():
    return BytePairTokenizer.train([TEXT] * 3, 300, progress=False)


@pytest.fixture(scope="module")
def lm(tokenizer):
    size = dict(vocabulary_size=tokenizer.vocabulary_size, context_length=64)
    config = contract.CONFIGS["llama"].replace(**size)
    return CausalLM(contract.decoder(config), tokenizer)


def test_batch_equals_one_by_one(lm):
    prompts = ["The quick", "", "日本", "and then it rests. The lazy dog"]
    batch = lm.generate(prompts, max_new_tokens=12)
    assert batch == [lm.generate(p, max_new_tokens=12) for p in prompts]
    assert all(isinstance(text, str) for text in batch)


@pytest.mark.parametrize("temperature", [0.0, 1.2])
def test_streamed_pieces_equal_the_text(lm, temperature):
    settings = dict(max_new_tokens=25, temperature=temperature, seed=3)
    for prompt in ("The", "日"):
        text = lm.generate(prompt, **settings)
        assert "".join(lm.stream(prompt, **settings)) == text


def test_stop_strings_end_the_text(lm):
    free = lm.generate("The", max_new_tokens=40)
    stop = free[11:13]
    expected = free[: free.index(stop)]
    settings = dict(max_new_tokens=40, stop=(stop, "never to be seen"))
    assert lm.generate("The", **settings) == expected
    assert lm.generate(["The"] * 2, **settings) == [expected] * 2
    assert "".join(lm.stream("The", **settings)) == expected


def test_stop_strings_across_pieces():
    for size in (1, 2, 3):
        stream = StopStream(["stop", "halt"])
        text = "go on, sto, hal, go haltgone"
        pieces = [text[i : i + size] for i in range(0, len(text), size)]
        out = ""
        for piece in pieces:
            out += stream.push(piece)
            if stream.stopped:
                break
        assert out == cut(text, ["stop", "halt"])[0] == "go on, sto, hal, go "


def test_ids_without_a_token_have_no_text(lm, tokenizer):
    config = lm.config.replace(vocabulary_size=tokenizer.vocabulary_size + 700)
    padded = CausalLM(contract.decoder(config), tokenizer)
    ids = padded._compiled().generate(
        [padded.encode_prompt("The")], lm._with({"max_new_tokens": 20})
    )[0]
    known = [i for i in ids if i < tokenizer.vocabulary_size]
    assert len(known) < len(ids)  # or this test would show nothing
    text = padded.generate("The", max_new_tokens=20)
    assert text == tokenizer.decode(known)
    assert "".join(padded.stream("The", max_new_tokens=20)) == text


def test_no_prompts_give_no_texts(lm):
    assert lm.generate([]) == []


def test_special_tokens_in_a_prompt_are_text(lm):
    ids = lm.encode_prompt("<|endoftext|>")
    assert ids[0] == lm.tokenizer.bos_id
    assert lm.tokenizer.bos_id not in ids[1:]


def test_save_and_load_restore_everything(lm, tmp_path):
    custom = CausalLM(
        lm.model, lm.tokenizer, lm._with({"max_new_tokens": 7, "stop": "."})
    )
    custom.save(tmp_path / "lm")
    loaded = CausalLM.load(tmp_path / "lm")
    assert loaded.settings == custom.settings
    assert loaded.config == lm.config
    assert loaded.tokenizer.fingerprint == lm.tokenizer.fingerprint
    assert loaded.generate(["The", "日"]) == custom.generate(["The", "日"])


def test_a_save_replaces_a_model_and_nothing_else(lm, tmp_path):
    for _ in range(2):
        lm.save(tmp_path / "lm")
    (tmp_path / "lm" / "notes.txt").write_text("mine")
    for folder in (tmp_path, tmp_path / "lm"):
        with pytest.raises(InputError, match="other files"):
            lm.save(folder)
    assert (tmp_path / "lm" / "notes.txt").read_text() == "mine"


def test_a_failed_save_leaves_the_old_model(lm, tmp_path, monkeypatch):
    lm.save(tmp_path / "lm")
    before = CausalLM.load(tmp_path / "lm").generate("The", max_new_tokens=9)

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(lm.model), "save_weights", full)
    with pytest.raises(OSError, match="No space left"):
        lm.save(tmp_path / "lm")
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["lm"]
    after = CausalLM.load(tmp_path / "lm").generate("The", max_new_tokens=9)
    assert after == before


def test_damage_is_named(lm, tmp_path):
    with pytest.raises(InputError, match="without keras_llm.json"):
        CausalLM.load(tmp_path)
    lm.save(tmp_path / "good")

    def broken(name, change):
        folder = tmp_path / "broken"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(tmp_path / "good", folder)
        change(folder / name)
        return folder

    def truncate(path):
        path.write_bytes(path.read_bytes()[:-100])

    folder = broken("model.weights.h5", truncate)
    with pytest.raises(InputError, match="truncated"):
        CausalLM.load(folder)

    def thinner(path):
        path.write_text(
            path.read_text().replace('"num_layers": 3', '"num_layers": 2')
        )

    folder = broken("decoder.json", thinner)
    with pytest.raises(InputError, match="decoder.json as it was saved"):
        CausalLM.load(folder)
    folder = broken("keras_llm.json", truncate)
    with pytest.raises(InputError, match="damaged"):
        CausalLM.load(folder)
    other = BytePairTokenizer.train(["another text"], 270, progress=False)
    folder = broken("tokenizer.json", lambda path: other.save(path.parent))
    with pytest.raises(InputError, match="another vocabulary"):
        CausalLM.load(folder)

    def newer(path):
        path.write_text(
            json.dumps({**json.loads(path.read_text()), "format_version": 99})
        )

    folder = broken("keras_llm.json", newer)
    with pytest.raises(InputError, match="format version 1.*99"):
        CausalLM.load(folder)


def test_wrong_vocabulary_and_wrong_prompts(lm, tokenizer):
    small = contract.decoder(contract.CONFIGS["llama"])
    with pytest.raises(InputError, match="at most 61 tokens"):
        CausalLM(small, tokenizer)
    with pytest.raises(InputError, match="as a string. Received: int"):
        lm.generate(3)
    with pytest.raises(InputError, match="context of 64 tokens"):
        lm.generate("many words " * 99)
    with pytest.raises(InputError, match="unknown keys: warmth"):
        lm.generate("The", warmth=1)


def test_score_is_the_log_softmax(lm):
    ids = np.array(lm.encode_prompt(TEXT[:60]))
    logits = np.asarray(lm.model(ids[None, :-1]))[0].astype("float64")
    log_softmax = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    expected = log_softmax[np.arange(len(ids) - 1), ids[1:]]
    np.testing.assert_allclose(lm.score(TEXT[:60]), expected, atol=1e-4)
    assert lm.score("").shape == (0,)  # nothing but the start


def test_rolling_scores_every_token_once(lm):
    ids = list(range(1, 150))
    windows = list(rolling_windows(ids, 0, 64))
    scored = [token for tokens, n in windows for token in tokens[-n:]]
    assert scored == ids
    assert all(len(tokens) <= 65 for tokens, _ in windows)
    assert all(len(tokens) == 65 for tokens, _ in windows[1:])


def test_bits_per_byte_by_hand(lm):
    texts = [TEXT[:50], "日本"]
    report = bits_per_byte(lm.model, lm.tokenizer, texts, progress=False)
    total = -sum(float(lm.score(text).sum()) for text in texts)
    size = sum(len(text.encode()) for text in texts)
    assert report.bytes == size
    assert report.tokens == sum(len(lm.score(text)) for text in texts)
    assert report.bits_per_byte == pytest.approx(
        total / np.log(2) / size, rel=1e-5
    )
    with pytest.raises(InputError, match="at least one text"):
        bits_per_byte(lm.model, lm.tokenizer, [""])


def test_float32_copy_computes_what_the_weights_say(lm):
    mixed = contract.decoder(lm.config, "mixed_bfloat16")
    copy = float32_copy(mixed)
    tokens = contract.tokens_of(2, 6)
    contract.close(copy(tokens), lm.model(tokens), 1e-6)
