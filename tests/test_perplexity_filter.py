"""Documents that a language model finds too odd or too easy, and ranks."""

import gzip
import json
import math
import pickle

import numpy as np
import pytest

import keras_llm as kl
from keras_llm import InputError, model_folder
from keras_llm.cli.curate_options import Asked
from keras_llm.data import Counts, Document, keep_percentiles
from keras_llm.data.staged import verdicts_of
from keras_llm.evaluate import (
    bits_per_byte,
    fit_thresholds,
    perplexity_filter,
    perplexity_step,
)
from keras_llm.tokenizers import BytePairTokenizer

CONTEXT = 40
TEXTS = (
    "A rose is a rose is a rose. " * 9,
    "Jackdaws love my big sphinx of quartz, naïve or not.",
    "zq xv jk " * 30,
    "To be",
)


@pytest.fixture(scope="module")
def lm():
    tokenizer = BytePairTokenizer.train(TEXTS, 280, progress=False)
    config = kl.DecoderConfig(
        vocabulary_size=280,
        context_length=CONTEXT,
        num_layers=1,
        hidden_dim=16,
        num_heads=2,
    )
    model = kl.build_decoder(config, "float32")
    random = np.random.default_rng(0)
    model.set_weights(
        [one + random.normal(0, 0.3, one.shape) for one in model.get_weights()]
    )
    return kl.CausalLM(model, tokenizer)


@pytest.fixture(scope="module")
def folder(lm, tmp_path_factory):
    path = tmp_path_factory.mktemp("perplexity") / "model"
    lm.save(path)
    return path


def documents(texts=TEXTS, **fields):
    return [
        Document(text, f"{number}", **fields)
        for number, text in enumerate(texts)
    ]


def run(step, given):
    counts = Counts(step.name)
    return list(step(given, counts)), dict(counts.dropped)


def values(step, given, field="bits_per_byte"):
    return [one.metadata[field] for one in run(step, given)[0]]


def nats_by_hand(lm, text):
    """One token after the other, without batches, padding or masks."""
    ids = [lm.start_id, *lm.tokenizer.encode(text)]
    total = 0.0
    for at in range(1, len(ids)):
        logits = np.asarray(lm.model(np.array([ids[:at]])), "float64")[0, -1]
        total -= logits[ids[at]] - np.log(np.exp(logits).sum())
    return total, len(ids) - 1


def test_the_number_is_that_of_the_model(lm, folder):
    text = TEXTS[1][:40]
    nats, tokens = nats_by_hand(lm, text)
    assert tokens <= CONTEXT
    (bits,) = values(perplexity_filter(folder), documents([text]))
    assert bits == pytest.approx(nats / math.log(2) / len(text.encode()), 1e-4)
    (perplexity,) = values(
        perplexity_filter(folder, per="token"), documents([text]), "perplexity"
    )
    assert perplexity == pytest.approx(math.exp(nats / tokens), 1e-4)


def test_long_texts_are_read_in_windows(lm, folder):
    for text in (TEXTS[0], TEXTS[2]):
        assert len(lm.tokenizer.encode(text)) > CONTEXT
        report = bits_per_byte(lm.model, lm.tokenizer, [text], progress=False)
        (bits,) = values(perplexity_filter(folder), documents([text]))
        assert bits == pytest.approx(report.bits_per_byte, abs=1e-4)


def test_only_the_start_is_read(folder):
    step = perplexity_filter(folder, characters=20)
    start, whole = values(step, documents([TEXTS[0][:20], TEXTS[0]]))
    assert start == whole
    assert values(perplexity_filter(folder), documents([TEXTS[0]])) != [whole]


def test_company_changes_no_bit(folder, monkeypatch):
    costs = perplexity_step.measure_of(folder)
    random = np.random.default_rng(0)
    texts = [
        "".join(map(chr, random.integers(97, 123, size)))
        for size in random.integers(1, 200, 60)
    ]
    together = costs(texts)
    assert [costs([text])[0] for text in texts] == together
    assert costs(texts[::-1]) == together[::-1]
    monkeypatch.setattr(perplexity_step, "BLOCK", 300)
    cut = values(perplexity_filter(folder), documents(texts))
    assert cut == together


def test_limits_drop_with_reasons(folder):
    numbers = values(perplexity_filter(folder), documents())
    low, high = sorted(numbers)[1:3]
    step = perplexity_filter(folder, above=low, below=high)
    kept, dropped = run(step, documents())
    assert [one.metadata["bits_per_byte"] for one in kept] == [
        one for one in numbers if low <= one <= high
    ]
    assert dropped == {
        f"bits per byte below {low:g}": 1,
        f"bits per byte above {high:g}": 1,
    }


def test_nothing_to_read_is_dropped(folder):
    assert run(perplexity_filter(folder), documents([""])) == (
        [],
        {"no text to predict": 1},
    )


def test_other_languages_go_on_unread(folder):
    given = [
        Document(TEXTS[1], "a", language="en"),
        Document(TEXTS[2], "b", language="de", metadata={"page": 1}),
        Document(TEXTS[2], "c"),
    ]
    step = perplexity_filter(folder, below=0.01, language="en")
    assert run(step, given) == (
        given[1:],
        {"bits per byte above 0.01": 1},
    )


def test_another_process_makes_the_same_step(folder):
    step = perplexity_filter(folder, above=1, language=None)
    again = pickle.loads(pickle.dumps(step))
    assert again.settings == step.settings
    assert run(again, documents()) == run(step, documents())


def test_a_replaced_model_is_refused(folder):
    with pytest.raises(InputError, match="replaced since: score all"):
        perplexity_filter(folder, fingerprint="0" * 64)


def test_wrong_settings(folder, tmp_path):
    with pytest.raises(InputError, match=r"Received: above=3, below=2\."):
        perplexity_filter(folder, above=3, below=2)
    with pytest.raises(InputError, match="characters >= 1"):
        perplexity_filter(folder, characters=0)
    with pytest.raises(InputError, match="per to be one of 'byte', 'token'"):
        perplexity_filter(folder, per="word")
    with pytest.raises(InputError, match=r"without keras_llm\.json"):
        perplexity_filter(tmp_path)
    with pytest.raises(InputError, match="none with text in the language fr"):
        fit_thresholds(folder, documents(), language="fr")
    assert perplexity_step.MANIFEST == model_folder.MANIFEST


def test_thresholds_are_percentiles_of_the_sample(folder):
    numbers = values(perplexity_filter(folder), documents())
    low, high = fit_thresholds(folder, documents(), keep=(0, 50))
    assert (low, high) == (
        min(numbers),
        pytest.approx(np.median(numbers), abs=1e-4),
    )
    kept, _ = run(perplexity_filter(folder, low, high), documents())
    assert len(kept) == 2


def test_options_of_the_command_line(folder):
    def made(keep_bits):
        asked = Asked(perplexity=folder, keep_bits=keep_bits, privacy=True)
        *_, before, last, privacy = asked.steps()
        assert privacy.name == "privacy"
        return before, last

    before, last = made(None)
    assert before.name == "exact_duplicates"
    assert last.settings["above"] is None
    _, last = made("0.5, 3")
    assert (last.settings["above"], last.settings["below"]) == (0.5, 3)
    before, last = made("2%,90%")
    assert before.settings == perplexity_filter(folder).settings
    assert last.settings == {"field": "bits_per_byte", "low": 2, "high": 90}


@pytest.mark.parametrize("text", ["3", "1,2,3", "1%,2", "a,b", ""])
def test_limits_that_are_no_range(folder, text):
    with pytest.raises(InputError, match="as 0.8,3, or two percentiles"):
        Asked(perplexity=folder, keep_bits=text).steps()


def test_limits_without_a_model():
    with pytest.raises(InputError, match="--keep-bits 1,2 alone"):
        Asked(keep_bits="1,2").steps()


def numbered(numbers):
    return [
        Document("", f"{at}", metadata={} if n is None else {"n": n})
        for at, n in enumerate(numbers)
    ]


def test_percentiles_keep_their_share():
    numbers = np.random.default_rng(0).permutation(1000).tolist()
    for low, high in ((0, 30), (30, 60), (60, 100)):  # CCNet's
        kept, dropped = run(keep_percentiles("n", low, high), numbered(numbers))
        assert len(kept) == pytest.approx(10 * (high - low), abs=1)
        reason = f"n outside the percentiles {low} to {high}"
        assert dropped == {reason: 1000 - len(kept)}


def test_percentiles_are_those_of_all_shards():
    given = numbered([5, None, 1, 4, 2, 3, None, 0])
    step = keep_percentiles("n", 0, 50)
    whole = np.concatenate(verdicts_of(step, [given])).tolist()
    assert whole == [False, True, True, False, True, False, True, True]
    for cuts in ((2,), (0, 1, 7), (8,)):
        shards = [list(part) for part in np.split(np.array(given), cuts)]
        parts = verdicts_of(step, shards)
        assert [len(one) for one in parts] == [len(one) for one in shards]
        assert np.concatenate(parts).tolist() == whole


def test_percentiles_of_nothing():
    assert run(keep_percentiles("n", 10, 20), numbered([None] * 3)) == (
        numbered([None] * 3),
        {},
    )


@pytest.mark.parametrize("keep", [(50, 50), (-1, 50), (0, 101), (90, 10)])
def test_percentiles_out_of_range(keep):
    with pytest.raises(InputError, match="the lower one first"):
        keep_percentiles("n", *keep)


@pytest.mark.slow
def test_a_trained_model_tells_dirt_from_text(shared_data, tmp_path):
    """A model of bytes, trained for seconds: it knows letters, no more."""
    path = shared_data / "dirty" / "dirty_sample.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as file:
        records = list(map(json.loads, file))
    clean = [one["text"] for one in records if one["kind"] == "clean"]
    tokenizer = BytePairTokenizer.train(clean[:1], 261, progress=False)
    config = kl.DecoderConfig(
        vocabulary_size=261,
        context_length=64,
        num_layers=1,
        hidden_dim=32,
        num_heads=2,
    )
    model = kl.build_decoder(config, "float32")
    rows = kl.tune.text_rows_of(clean[:600], tokenizer, 64)
    kl.train.fit(model, rows, steps=150, batch_size=16, learning_rate=1e-2)
    kl.CausalLM(model, tokenizer).save(tmp_path / "model")
    sample = documents(clean[600:800])
    limits = fit_thresholds(tmp_path / "model", sample, keep=(1, 99))
    step = perplexity_filter(tmp_path / "model", *limits)
    kept, _ = run(step, documents(clean[800:1000]))
    assert len(kept) > 0.93 * 200
    symbols = [one["text"] for one in records if one["kind"] == "symbols"]
    assert not run(step, documents(symbols))[0]
