"""Classifiers are trained, saved and asked, on both backends."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from labelled_texts import BEASTS, COLOURS, WORDS, language_model

from keras_llm import build_decoder
from keras_llm.adapters import Lora
from keras_llm.classify import (
    Classifier,
    ClassifierSettings,
    Ids,
    sequence,
    sequence_model,
)
from keras_llm.classify.encoding import labelled
from keras_llm.classify.model import UNUSED
from keras_llm.classify.training import rows_of
from keras_llm.errors import InputError
from keras_llm.tune import Labelled

TRAINED = {
    "all": {},
    "head": {"trainable": "head", "pooling": "attention"},
    "last_1": {"trainable": "last_1", "pooling": "mean"},
    "lora": {"trainable": Lora(rank=4), "class_weights": "balanced"},
    "multi": {"kind": "multi", "learning_rate": 0.01},
}


@pytest.mark.parametrize("case", TRAINED)
def test_training_learns_and_a_saved_classifier_gives_the_same(case, tmp_path):
    given = {"steps": 60, "learning_rate": 0.02, "batch_size": 9} | TRAINED[
        case
    ]
    classifier = sequence(language_model(), COLOURS + BEASTS, **given)
    texts = [text for text, _ in COLOURS + BEASTS]
    right = [label for _, label in COLOURS + BEASTS]
    found = classifier.predict(texts)
    if case == "multi":
        found = [labels[0] if len(labels) == 1 else "" for labels in found]
    assert np.mean([a == b for a, b in zip(found, right, strict=True)]) > 0.9
    classifier = classifier.replace(temperature=1.5)
    classifier.save(tmp_path / "saved")
    again = Classifier.load(tmp_path / "saved")
    assert again.settings == classifier.settings
    assert again.report == classifier.report
    np.testing.assert_array_equal(
        again.probabilities(texts), classifier.probabilities(texts)
    )


@pytest.mark.parametrize(
    "trainable, expected",
    [
        ("head", {"classifier"}),
        ("last_1", {"classifier", "block_1", "final_norm"}),
        (Lora(), {"classifier", "block_0", "block_1"}),
    ],
)
def test_only_what_was_asked_for_changes(trainable, expected):
    lm = language_model(tie_embeddings=False)
    before = {v.path: v.numpy() for v in lm.model.weights}
    classifier = sequence(
        lm, COLOURS + BEASTS, trainable=trainable, steps=3, weight_decay=0.1
    )
    trained = {v.path for v in classifier.model.trainable_variables}
    trained -= {UNUSED}  # the decoder's to train again, not the classifier's
    assert {path.split("/")[0] for path in trained} == expected
    for variable in lm.model.weights:
        path = variable.path
        if path in before:
            same = np.array_equal(before[path], variable.numpy())
            assert same != (path in trained), path


def test_the_unused_head_is_left_alone():
    lm = language_model(tie_embeddings=False)
    head = lm.model.get_layer("token_embedding").reverse_embeddings
    before = head.numpy()
    sequence(lm, COLOURS + BEASTS, steps=2, weight_decay=0.1)
    np.testing.assert_array_equal(before, head.numpy())
    assert head.trainable  # again


def test_a_run_leaves_its_metrics_and_is_not_trained_again(tmp_path):
    keras.utils.set_random_seed(5)
    settings = {"steps": 4, "batch_size": 9, "seed": 3, "out": tmp_path / "run"}
    data = COLOURS + BEASTS
    first = sequence(language_model(), data, data[::2], **settings)
    files = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"classification.json", "curve.png", "report.json"} <= files
    assert {"metrics.jsonl", "classifier", "train.json"} <= files
    found = first.report["validation"]
    assert found["examples"] == 9 and len(found["confusion"]) == 2
    again = sequence(language_model(), data, data[::2], **settings)
    np.testing.assert_array_equal(
        *(one.probabilities(["the red"]) for one in (first, again))
    )


def test_samples_differ_with_dropout_and_have_the_mean_in_sight():
    settings = ClassifierSettings(labels=("a", "b"), ids=Ids(length=24))
    lm = language_model(dropout=0.3)
    classifier = Classifier(sequence_model(lm, 2), lm.tokenizer, settings)
    samples = classifier.probabilities(["the red", "a cow"], samples=12)
    assert samples.shape == (12, 2, 2)
    assert (samples.std(0) > 1e-4).all()
    plain = classifier.probabilities(["the red", "a cow"])
    np.testing.assert_allclose(samples.mean(0), plain, atol=0.2)
    plain = language_model()
    classifier = Classifier(sequence_model(plain, 2), plain.tokenizer, settings)
    with pytest.raises(InputError, match="with dropout"):
        classifier.probabilities(["the red"], samples=2)


def test_mixed_precision_trains():
    lm = language_model()
    lm = lm.replace(model=build_decoder(lm.config, "mixed_bfloat16"))
    classifier = sequence(lm, COLOURS + BEASTS, steps=2)
    assert classifier.report["training"]["precision"] == "mixed_bfloat16"
    assert classifier.probabilities(["red"]).dtype == np.float32


def test_pairs_are_learned_and_asked_for():
    data = [
        Labelled(a, ("same" if a == b else "other",), b)
        for a in WORDS
        for b in WORDS
    ]
    classifier = sequence(language_model(), data, steps=2)
    assert classifier.settings.pairs
    assert len(classifier.predict([("red", "cow")])) == 1
    with pytest.raises(InputError, match="pairs of texts"):
        classifier.predict(["red"])


def test_a_label_unseen_in_training_is_named_with_its_line(tmp_path):
    path = tmp_path / "held.tsv"
    path.write_text("text\tlabel\na red\tcolour\na car\tvehicle\n")
    with pytest.raises(InputError, match="'vehicle', .*held.tsv, line 3"):
        sequence(language_model(), COLOURS + BEASTS, path, steps=1)
    with pytest.raises(InputError, match="vehicle"):
        data = COLOURS + BEASTS
        sequence(language_model(), data, path, steps=1, kind="multi")


def test_long_texts_are_cut_and_counted(capsys):
    data = [*COLOURS, ("a cow " * 40, "beast")]
    classifier = sequence(language_model(), data, steps=1)
    assert classifier.report["cut"] == 1
    assert "1 of 10 texts" in capsys.readouterr().err


def test_a_classifier_is_a_check_of_the_server():
    from keras_llm.export.server.moderation import Classifier as Check
    from keras_llm.export.server.moderation import Moderator

    classifier = sequence(
        language_model(), COLOURS + BEASTS, steps=60, learning_rate=0.02
    )
    check = Check(function=classifier.scorer("beast"), threshold=0.5)
    moderator = Moderator(classifiers=[check])
    assert not moderator.check("a cow or a dog", "input").allowed
    assert moderator.check("the red and the blue", "input").allowed


def test_a_damaged_folder_is_refused(tmp_path):
    lm = language_model()
    settings = ClassifierSettings(labels=("a", "b"), ids=Ids(length=24))
    Classifier(sequence_model(lm, 2), lm.tokenizer, settings).save(tmp_path)
    path = tmp_path / "classifier.json"
    path.write_text(path.read_text().replace('"a"', '"c"'))
    with pytest.raises(InputError, match="another content"):
        Classifier.load(tmp_path)
    with pytest.raises(InputError, match="keras_llm_classifier.json"):
        Classifier.load(tmp_path / "none")


def test_sms_is_read_and_made_into_rows(shared_data):
    examples = labelled(shared_data / "sms_spam/sms.tsv")
    lm = language_model()
    made = ClassifierSettings(labels=("ham", "spam"), ids=Ids(length=24))
    rows, cut = rows_of(examples, lm.tokenizer, made, None)
    assert rows.weights.sum() == 5574 and rows.targets.sum() == 747
    assert cut > 1000 and rows.context_length == 24


ON_JAX = """
from labelled_texts import BEASTS, COLOURS, language_model
from keras_llm.classify import sequence
classifier = sequence(language_model(), COLOURS + BEASTS, steps=60,
    learning_rate=0.02, pooling="attention")
found = classifier.predict([text for text, _ in COLOURS])
print(found.count("colour") > 7)
"""


def test_jax_trains_too():
    pytest.importorskip("jax")
    found = subprocess.run(
        [sys.executable, "-c", ON_JAX],
        cwd=os.path.dirname(__file__),
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
    )
    assert found.stdout.strip() == "True", found.stderr[-2000:]
