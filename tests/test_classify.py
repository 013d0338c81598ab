"""Classifiers: the model, its loss, its rows, training, saving."""

import dataclasses
import os
import subprocess
import sys

import contract
import keras
import numpy as np
import pytest
import served_models
import tensorflow as tf
from sklearn.utils.class_weight import compute_sample_weight

from keras_llm import BytePairTokenizer, CausalLM, DecoderConfig, build_decoder
from keras_llm.adapters import Lora
from keras_llm.classify import (
    Classifier,
    ClassifierSettings,
    Ids,
    ManyLabels,
    OneLabel,
    Pooling,
    sequence,
    sequence_model,
)
from keras_llm.classify.balance import label_weights
from keras_llm.classify.encoding import encode_texts, labelled
from keras_llm.classify.rows import layout, text_rows
from keras_llm.classify.training import rows_of
from keras_llm.errors import InputError
from keras_llm.train import TokenTrainer
from keras_llm.tune import Labelled

WORDS = ["red", "blue", "green", "cat", "dog", "cow"]
COLOURS = [
    (f"the {a} and the {b}", "colour") for a in WORDS[:3] for b in WORDS[:3]
]
BEASTS = [(f"a {a} or a {b}", "beast") for a in WORDS[3:] for b in WORDS[3:]]
FAMILIES = {
    "gpt2": {"norm": "layer", "rope": None},
    "llama": {},
    "untied": {"tie_embeddings": False, "num_kv_heads": 1},
}


def language_model(dropout: float = 0.0, **changes) -> CausalLM:
    texts = [text for text, _ in COLOURS + BEASTS]
    tokenizer = BytePairTokenizer.train(texts, 290, progress=False)
    config = DecoderConfig(
        vocabulary_size=300,
        context_length=24,
        num_layers=2,
        hidden_dim=16,
        num_heads=2,
        dropout=dropout,
        **changes,
    )
    return CausalLM(build_decoder(config), tokenizer)


def random_rows(lengths: list[int]) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(0, 300, n).astype("int32") for n in lengths]


@pytest.mark.parametrize("kind", ["last", "mean", "attention"])
def test_pooling_is_what_numpy_makes_of_each_text(kind):
    layer = Pooling(kind)
    hidden = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("float32")
    segments = np.array([[1, 1, 2, 2, 0], [1, 0, 0, 0, 0]])
    found = layer(hidden, segments, np.array([[1, 2], [1, 2]])).numpy()

    def pooled(some):
        if kind == "last":
            return some[-1]
        weights = np.ones(len(some))
        if kind == "attention":
            weights = np.exp(some @ np.asarray(layer.score.kernel)[:, 0])
        return (weights / weights.sum()) @ some

    expected = [pooled(hidden[0, :2]), pooled(hidden[0, 2:4])]
    np.testing.assert_allclose(found[0], expected, rtol=1e-5)
    np.testing.assert_allclose(found[1, 0], hidden[1, 0], rtol=1e-5)
    assert np.isfinite(found).all()  # the text that is not there, too


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("pooling", ["last", "mean", "attention"])
def test_texts_in_one_row_are_classified_as_alone(family, pooling):
    lm = language_model(**FAMILIES[family])
    model = sequence_model(lm, 3, pooling)
    documents = random_rows([5, 1, 9, 24, 2, 2])
    rows = text_rows(
        documents, np.arange(6), np.ones(6, "float32"), lm.tokenizer
    )
    together = model(rows.inputs).numpy()
    for number, ids in enumerate(documents):
        [[row, place]] = np.argwhere(
            (rows.targets == number) & (rows.weights > 0)
        )
        alone = model(ids[None]).numpy()[0, 0]
        np.testing.assert_allclose(together[row, place], alone, atol=2e-6)


@pytest.mark.parametrize("family", contract.CONFIGS)
def test_every_family_classifies(family):
    lm = served_models.language_model(family, num_layers=2)
    made = ClassifierSettings(
        labels=("a", "b", "c"), ids=Ids(length=64, end=lm.tokenizer.eos_id)
    )
    classifier = Classifier(sequence_model(lm, 3), lm.tokenizer, made)
    # LongRope's factors are those of the longest text of a row.
    times = 0 if family == "longrope" else 3
    texts = ["a rose", "the king who was upon a time " * times, "said"]
    examples = [
        Labelled(text, (n,)) for text, n in zip(texts, "abc", strict=True)
    ]
    rows, _ = rows_of(examples, lm.tokenizer, made, None)
    together = classifier.model(rows.inputs).numpy()
    together = together[rows.weights > 0][
        np.argsort(rows.targets[rows.weights > 0])
    ]
    np.testing.assert_allclose(
        together, classifier.logits(texts), rtol=1e-4, atol=1e-5
    )


def test_the_decoder_is_shared_and_its_config_kept():
    lm = language_model()
    model = sequence_model(lm.model, 2)
    assert model.config is lm.model.config
    assert model.dtype_policy == lm.model.dtype_policy
    own = {v.path for v in model.weights} - {v.path for v in lm.model.weights}
    assert own == {"classifier/kernel", "classifier/bias"}


def test_a_keras_file_gives_the_same_model_back(tmp_path):
    model = sequence_model(language_model(), 2, "attention", dropout=0.1)
    tokens = np.array([[5, 6, 7]])
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(model(tokens), again(tokens))


def test_a_layout_has_each_token_once_and_texts_apart():
    lengths = np.random.default_rng(1).integers(1, 17, 200).tolist()
    places, segments, owners = layout(lengths, 16)
    used = places[segments > 0]
    assert sorted(used.tolist()) == list(range(sum(lengths)))
    assert sorted(owners[owners >= 0].tolist()) == list(range(200))
    starts = np.cumsum([0, *lengths])
    for row, text in zip(*np.nonzero(owners >= 0), strict=True):
        owner = owners[row, text]
        expected = np.arange(starts[owner], starts[owner + 1])
        found = places[row][segments[row] == text + 1]
        np.testing.assert_array_equal(found, expected)


def batch(many: bool = False):
    lm = language_model()
    model = sequence_model(lm, 3, "mean")
    random = np.random.default_rng(0)
    documents = random_rows([4, 9, 12, 3, 7])
    targets = np.array([2, 0, 1, 1, 2])
    if many:
        targets = random.integers(0, 2, (5, 3)).astype("float32")
    weights = random.uniform(0.5, 2, targets.shape).astype("float32")
    rows = text_rows(documents, targets, weights, lm.tokenizer)
    logits = np.stack(
        [
            keras.ops.convert_to_numpy(model(ids[None]))[0, 0]
            for ids in documents
        ]
    )
    return model, rows, logits, targets, weights


def test_one_label_is_kerass_weighted_cross_entropy():
    model, rows, logits, targets, weights = batch()
    loss = OneLabel()(model, rows.inputs, rows.targets, rows.weights)
    each = keras.losses.sparse_categorical_crossentropy(
        targets, logits, from_logits=True
    ).numpy()
    np.testing.assert_allclose(loss.cross_entropy, each @ weights, rtol=1e-5)
    np.testing.assert_allclose(loss.tokens, weights.sum(), rtol=1e-6)
    right = (logits.argmax(-1) == targets) @ weights
    np.testing.assert_allclose(loss.correct, right, rtol=1e-6)
    assert float(loss.extras[0]) == 35


def test_many_labels_is_tensorflows_sigmoid_cross_entropy():
    model, rows, logits, targets, weights = batch(many=True)
    loss = ManyLabels()(model, rows.inputs, rows.targets, rows.weights)
    each = tf.nn.sigmoid_cross_entropy_with_logits(targets, logits).numpy()
    np.testing.assert_allclose(
        loss.objective, (each * weights).sum(), rtol=1e-5
    )
    right = (((logits > 0) == (targets > 0.5)) * weights).sum()
    np.testing.assert_allclose(loss.correct, right, rtol=1e-6)


def test_micro_batches_give_the_gradient_of_the_whole_batch():
    _, rows, *_ = batch()
    data = rows.batch(np.arange(len(rows)))
    found = []
    for accumulate in (1, 2):
        keras.utils.set_random_seed(3)
        model = sequence_model(language_model(), 3)
        trainer = TokenTrainer(model, accumulate, objective=OneLabel())
        trainer.compile(keras.optimizers.SGD(0.1))
        trainer.train_on_batch(*data)
        found.append(model.get_layer("classifier").kernel.numpy())
    np.testing.assert_allclose(*found, atol=1e-6)


def test_balanced_weights_are_those_of_scikit_learn():
    targets = np.array([0, 0, 0, 1, 2, 2])
    found = label_weights(targets, "abc", "balanced")
    np.testing.assert_allclose(
        found, compute_sample_weight("balanced", targets)
    )
    matrix = np.array([[1, 0], [0, 0], [0, 1], [0, 0]])
    expected = [compute_sample_weight("balanced", c) for c in matrix.T]
    found = label_weights(matrix, "ab", "balanced")
    np.testing.assert_allclose(found, np.transpose(expected))


@pytest.mark.parametrize("given", [{"x": 2}, {"a": 0}, "even"])
def test_weights_of_what_is_no_label_are_refused(given):
    with pytest.raises(InputError, match="Received"):
        label_weights(np.array([0, 1]), ("a", "b"), given)


def test_a_pair_is_cut_where_it_is_longer():
    tokenizer = language_model().tokenizer
    ids = Ids(length=12, start=1, end=2, between=(3,))
    one, two = "red" * 20, "cow"
    short = tokenizer.encode(two)
    [row], cut = encode_texts([(one, two)], tokenizer, ids)
    assert cut == 1 and len(row) == 12
    assert row[-1 - len(short) : -1].tolist() == short
    [row], _ = encode_texts([(one, one)], tokenizer, ids)
    room = 9  # 4 for the second and the rest for the first
    assert row.tolist().index(3) == 1 + room - room // 2


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
    samples = classifier.probabilities(["the red", "a cow"], samples=50)
    assert samples.shape == (50, 2, 2)
    assert (samples.std(0) > 1e-4).all()
    plain = classifier.probabilities(["the red", "a cow"])
    np.testing.assert_allclose(samples.mean(0), plain, atol=0.1)
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


@pytest.mark.parametrize(
    "changes",
    [
        {"threshold": 2},
        {"threshold": (0.5, 0.5)},
        {"labels": ("a",)},
        {"labels": ("a", "a")},
        {"kind": "several"},
        {"temperature": 0},
        {"pooling": "max"},
    ],
)
def test_settings_out_of_range_are_refused(changes):
    good = ClassifierSettings(labels=("a", "b"), ids=Ids(length=8))
    with pytest.raises(InputError, match="Received"):
        dataclasses.replace(good, **changes)


@pytest.mark.parametrize("examples", [["text"], [("a", "b", "c")], [(1, "a")]])
def test_what_is_no_example_is_refused(examples):
    with pytest.raises(InputError, match="number 1"):
        labelled(examples)


def test_sms_is_read_and_made_into_rows(shared_data):
    examples = labelled(shared_data / "sms_spam/sms.tsv")
    lm = language_model()
    made = ClassifierSettings(labels=("ham", "spam"), ids=Ids(length=24))
    rows, cut = rows_of(examples, lm.tokenizer, made, None)
    assert rows.weights.sum() == 5574 and rows.targets.sum() == 747
    assert cut > 1000 and rows.context_length == 24


ON_JAX = """
import test_classify as t
model, rows, logits, targets, weights = t.batch()
loss = t.OneLabel()(model, rows.inputs, rows.targets, rows.weights)
classifier = t.sequence(t.language_model(), t.COLOURS + t.BEASTS, steps=60,
    learning_rate=0.02, pooling="attention")
found = classifier.predict([text for text, _ in t.COLOURS])
print(len(logits), sum(one == "colour" for one in found) > 7)
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
    assert found.stdout.strip() == "5 True", found.stderr[-2000:]
