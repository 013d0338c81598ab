"""A language model's calibration, beside all of its logits at once."""

import dataclasses
import json

import keras
import numpy as np
import pytest
from scipy import special

from keras_llm import CausalLM, DecoderConfig, Rope, build_decoder
from keras_llm.classify.calibration import best_temperature
from keras_llm.errors import InputError
from keras_llm.evaluate import (
    calibrated,
    calibration_scores,
    next_token_calibration,
    rolling_windows,
)
from keras_llm.evaluate import token_logits as streaming
from keras_llm.evaluate.finding import Finding
from keras_llm.tokenizers import BytePairTokenizer

TEXTS = [
    "It was a bright cold day in April.",
    "a rose is a rose is a rose is a rose is a rose and so on",
    "The clocks were striking thirteen, again and again.",
    "!",
    "",
]

LONG = Rope(
    scaling="longrope",
    factor=2.0,
    original_context=8,
    short_factors=(1.0, 1.0),
    long_factors=(1.5, 3.0),
)


def language_model(sharpness=6.0, **changes):
    """A model that is far too sure of its random opinions."""
    config = DecoderConfig(
        vocabulary_size=280,
        context_length=16,
        num_layers=1,
        hidden_dim=8,
        num_heads=2,
    )
    config = dataclasses.replace(config, **changes)
    keras.utils.set_random_seed(0)
    model = build_decoder(config)
    tied = model.get_layer("token_embedding")
    tied.embeddings.assign(tied.embeddings * sharpness)
    tokenizer = BytePairTokenizer.train(TEXTS, 280)
    return CausalLM(model, tokenizer)


@pytest.fixture(scope="module")
def lm():
    return language_model()


def everything(lm, texts):
    """All logits of the scored tokens, float64, and the tokens."""
    logits, targets = [], []
    start = lm.encode_prompt("")[0]
    for text in texts:
        ids = lm.tokenizer.encode(text)
        length = lm.config.context_length
        for window, scored in rolling_windows(ids, start, length):
            inputs = np.array([window[:-1]], "int32")
            found = np.asarray(lm.model(inputs)[0], "float64")
            logits.append(found[-scored:])
            targets += window[-scored:]
    return np.concatenate(logits), np.array(targets)


def check(scores, logits, targets, temperature):
    p = special.softmax(logits / temperature, -1)
    expected = calibration_scores(p, targets)
    for field in dataclasses.fields(expected):
        if field.name not in ("bins", "adaptive_error"):
            ours = getattr(scores, field.name)
            theirs = getattr(expected, field.name)
            assert ours == pytest.approx(theirs, abs=2e-5), field.name
    assert scores.adaptive_error == pytest.approx(
        expected.adaptive_error, abs=2e-3
    )
    for ours, theirs in zip(scores.bins, expected.bins, strict=True):
        assert ours == pytest.approx(theirs, abs=2e-5)


@pytest.mark.parametrize("batch_tokens, at_once", [(1, 3), (64, 1 << 20)])
def test_sums_are_those_of_all_logits(lm, monkeypatch, batch_tokens, at_once):
    monkeypatch.setattr(streaming, "_LOGITS", 280 * at_once)
    better = lm.replace(temperature=2.5)
    report = next_token_calibration(
        better, TEXTS, batch_tokens=batch_tokens, progress=False
    )
    logits, targets = everything(lm, [text for text in TEXTS if text])
    assert len(targets) > lm.config.context_length  # some text has windows
    check(report.raw, logits, targets, 1.0)
    check(report.calibrated, logits, targets, 2.5)
    assert isinstance(report, Finding) and report.fitted_on is None
    json.dumps(report.to_dict())


@pytest.mark.parametrize(
    "changes",
    [
        {"rope": None},
        {"window": 4, "pattern": "L"},
        {"rope": LONG},
        {"final_softcap": 3.0},
    ],
    ids=["learned", "local", "long", "softcap"],
)
def test_every_kind_of_position_is_read_as_the_model_reads_it(changes):
    lm = language_model(**changes).replace(temperature=1.0)
    report = next_token_calibration(lm, TEXTS, progress=False)
    check(report.raw, *everything(lm, [t for t in TEXTS if t]), 1.0)


def test_the_temperature_has_the_least_loss_of_all_tokens(lm):
    logits, targets = everything(lm, [text for text in TEXTS if text])
    expected = best_temperature(logits, targets)
    found = calibrated(lm, TEXTS, progress=False).temperature
    assert found == pytest.approx(expected, rel=5e-3)

    def loss(temperature):
        p = special.softmax(logits / temperature, -1)
        return calibration_scores(p, targets).loss

    assert loss(found) - loss(expected) < 1e-6 < loss(1.0) - loss(found)
    assert expected > 1.5 and lm.temperature is None


def test_half_of_the_texts_find_it_and_the_others_are_measured(lm):
    texts = [text for text in TEXTS if text]
    report = next_token_calibration(lm, texts, seed=3, progress=False)
    order = np.random.default_rng(3).permutation(4)
    fit, held = ([texts[i] for i in part] for part in np.split(order, 2))
    assert report.temperature == calibrated(lm, fit, progress=False).temperature
    logits, targets = everything(lm, held)
    check(report.calibrated, logits, targets, report.temperature)
    assert report.fitted_on == len(everything(lm, fit)[1])
    assert report.calibrated.loss < report.raw.loss
    measure = report.measures()["calibration/calibrated_ece"]
    assert measure.value < report.measures()["calibration/ece"].value


def test_the_temperature_is_saved_and_asked_for_by_name(lm, tmp_path):
    better = lm.replace(temperature=2.5)
    better.save(tmp_path / "lm")
    loaded = CausalLM.load(tmp_path / "lm")
    assert loaded.temperature == 2.5
    text = "a rose is a rose"
    raw = loaded.score(text)
    np.testing.assert_allclose(raw, lm.score(text), rtol=1e-5)
    ids = loaded.encode_prompt(text)
    logits = np.asarray(lm.model(np.array([ids[:-1]]))[0], "float64") / 2.5
    expected = special.log_softmax(logits, -1)[range(len(ids) - 1), ids[1:]]
    found = loaded.score(text, calibrated=True)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert np.abs(found - raw).max() > 0.1
    np.testing.assert_array_equal(loaded.score(text), raw)
    assert loaded.generate("a", max_new_tokens=3) == lm.generate(
        "a", max_new_tokens=3
    )


def test_a_model_without_a_temperature_says_so(lm, tmp_path):
    with pytest.raises(InputError, match="evaluate.calibrated"):
        lm.score("a rose", calibrated=True)
    lm.save(tmp_path / "lm")
    assert CausalLM.load(tmp_path / "lm").temperature is None
    manifest = json.loads((tmp_path / "lm" / "keras_llm.json").read_text())
    assert "temperature" not in manifest
    better = lm.replace(temperature=2.0)
    assert better.replace(starts=False).temperature == 2.0
    assert better.replace(model=lm.model).temperature is None


def test_a_bar_counts_the_texts(lm, monkeypatch):
    bars = []

    def track(items, title, total):
        bars.append((title, total))
        return items

    monkeypatch.setattr(streaming, "track", track)
    next_token_calibration(lm, TEXTS)
    assert bars == [("temperature", 2)] * 2 + [("calibration", 2)]
    next_token_calibration(lm, TEXTS, progress=False)
    assert len(bars) == 3


def test_mistakes_are_sentences(lm):
    with pytest.raises(InputError, match="at least 2 texts.*Received: 1"):
        next_token_calibration(lm, ["one", ""])
    with pytest.raises(InputError, match="at least 1 text .*Received: 0"):
        calibrated(lm, [""])
    for wrong in (0, -1.0, float("nan"), float("inf"), "2"):
        with pytest.raises(InputError, match="temperature above zero"):
            lm.replace(temperature=wrong)
