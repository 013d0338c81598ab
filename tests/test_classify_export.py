"""Exported classifiers give the labels of Keras."""

import json

import pytest
import tensorflow as tf
from labelled_texts import BEASTS, COLOURS, FAMILIES, language_model
from test_classify_tags import settings as tagger_settings

from keras_llm import export
from keras_llm.adapters import Lora
from keras_llm.classify import (
    Classifier,
    ClassifierSettings,
    Ids,
    Tagger,
    sequence,
    sequence_model,
    token_model,
)
from keras_llm.classify.encoding import ids_for
from keras_llm.errors import ExportError, InputError
from keras_llm.export.classifier_export import compare

TEXTS = ["", "the red", "a cow or a dog " * 9, "Ein schöner Tag, 日本語 🙂"]


def made(family: str = "llama", pooling: str = "last", **changes) -> Classifier:
    lm = language_model(**FAMILIES[family])
    own = {"labels": ("ham", "spam"), "temperature": 1.7, **changes}
    pairs = own.get("pairs", False)
    settings = ClassifierSettings(
        ids=ids_for(lm, None, pairs), pooling=pooling, **own
    )
    model = sequence_model(lm, len(own["labels"]), pooling)
    return Classifier(model, lm.tokenizer, settings)


def asked(path: str, **texts: list[str]) -> dict:
    """What a SavedModel says, in this process."""
    served = tf.saved_model.load(path).signatures["serving_default"]
    found = served(**{name: tf.constant(rows) for name, rows in texts.items()})
    labels = [name.decode() for name in found["label"].numpy()]
    return {"label": labels, "probabilities": found["probabilities"].numpy()}


def test_a_saved_model_gives_the_labels_of_texts(tmp_path):
    classifier = made("gpt2", "mean")
    report = export.classifier(classifier, tmp_path / "spam", texts=TEXTS)
    assert report.difference < 1e-5 and report.path.endswith("spam/1")
    side = tmp_path / "spam/1/assets.extra/keras_llm/classifier.json"
    assert json.loads(side.read_text())["labels"] == ["ham", "spam"]
    again = export.classifier(classifier, tmp_path / "spam", verify=False)
    assert again.path.endswith("spam/2")


KINDS = {
    "threshold": {"threshold": 0.3},
    "untied": {"family": "untied"},
    "attention": {"pooling": "attention"},
    "three": {"labels": ("a", "b", "c")},
    "multi": {"kind": "multi", "labels": ("a", "b", "c")},
    "thresholds": {"kind": "multi", "threshold": (0.45, 0.55)},
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_exported(kind, tmp_path):
    classifier = made(**KINDS[kind])
    path = export.classifier(classifier, tmp_path, verify=False).path
    found = asked(path, text=TEXTS)
    assert compare(classifier, TEXTS, found) < 1e-5


def test_pairs_are_cut_in_the_graph_as_on_the_host(tmp_path):
    texts = [(a, b) for a in TEXTS for b in TEXTS]
    classifier = made(pairs=True)
    path = export.classifier(classifier, tmp_path, verify=False).path
    first, second = map(list, zip(*texts, strict=True))
    found = asked(path, text=first, text_pair=second)
    assert compare(classifier, texts, found) < 1e-5


def test_a_trained_adapter_is_merged_in(tmp_path):
    classifier = sequence(
        language_model(), COLOURS + BEASTS, trainable=Lora(rank=2), steps=9
    )
    saved = export.classifier(classifier, tmp_path / "model", verify=False)
    found = asked(saved.path, text=TEXTS)
    assert compare(classifier, TEXTS, found) < 1e-5
    path = tmp_path / "model.tflite"
    report = export.classifier_litert(classifier, path)
    assert report.difference < 1e-5


def test_another_label_than_keras_gives_is_no_export(tmp_path, monkeypatch):
    classifier = made()
    monkeypatch.setattr(
        "keras_llm.export.classifier_export.run_probe",
        lambda *_: {
            "found": {
                "together": {
                    "label": ["ham"] * len(TEXTS),
                    "probabilities": [[1.0, 0.0]] * len(TEXTS),
                }
            },
            "timed_seconds": 1.0,
        },
    )
    with pytest.raises(ExportError, match="Nothing was exported"):
        export.classifier(classifier, tmp_path / "spam", texts=TEXTS)
    assert not (tmp_path / "spam" / "1").exists()


@pytest.mark.parametrize("family", ["gpt2", "untied"])
def test_litert_gives_the_probabilities(family, tmp_path):
    path = tmp_path / "spam.tflite"
    report = export.classifier_litert(made(family, "mean"), path, width=16)
    assert report.difference < 1e-5 and report.milliseconds > 0
    side = json.loads((tmp_path / "spam.tflite.json").read_text())
    assert side["width"] == 16 and side["labels"] == ["ham", "spam"]


def test_litert_takes_a_tagger(tmp_path):
    lm = language_model()
    tagger = Tagger(token_model(lm, 5), lm.tokenizer, tagger_settings())
    report = export.classifier_litert(tagger, tmp_path / "tags.tflite")
    assert report.difference < 1e-5 and len(report.labels) == 5


@pytest.mark.parametrize("given", [{"width": 99}, {"name": "model.bin"}])
def test_a_path_or_width_that_cannot_be_is_refused(given, tmp_path):
    path = tmp_path / given.pop("name", "model.tflite")
    with pytest.raises(InputError, match="Received"):
        export.classifier_litert(made(), path, **given)


def test_ids_are_longer_than_what_starts_and_ends():
    with pytest.raises(InputError, match="room"):
        Ids(length=2, start=1, end=2)
