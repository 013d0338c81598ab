"""tune.text and tune.chat: what trains, what is measured, what is left."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tiny_tuning
from tiny_tuning import language_model
from tuning_examples import BYTES, WORDS, conversations

from keras_llm import CausalLM, tune
from keras_llm.adapters import active, adapter_names
from keras_llm.errors import InputError
from keras_llm.tokenizers import HostTokenizer
from keras_llm.train import read_history
from keras_llm.train.losses import token_loss
from keras_llm.tune import Distillation, TuneReport, Tuning
from keras_llm.tune.run import settings_for
from keras_llm.tune.trainable import Trainable

TIMES = ("seconds", "tokens_per_second", "mfu")
LEFT = {
    *("README.md", "checkpoints", "lm", "metrics.jsonl", "report.json"),
    *("samples.jsonl", "tensorboard", "train.json", "tuning.json"),
    "tuning_report.json",
}


def weights(lm) -> dict[str, np.ndarray]:
    return {w.path: np.array(w) for w in lm.model.weights}


def changed(before: dict, after: dict) -> set[str]:
    """Paths of weights that differ."""
    return {n for n in before if not np.array_equal(before[n], after[n])}


def losses(out) -> list[dict]:
    """The history without what depends on the clock."""
    return [
        {key: value for key, value in line.items() if key not in TIMES}
        for line in read_history(out / "metrics.jsonl")
    ]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny") / "base"
    language_model().save(folder)
    return folder


@pytest.fixture(scope="module")
def whole(base, tmp_path_factory):
    """An uninterrupted run: its folder, report and weights."""
    out = tmp_path_factory.mktemp("whole") / "run"
    lm = CausalLM.load(base)
    return out, tiny_tuning.tune(lm, out), weights(lm)


def test_a_run_leaves_what_it_was_told_and_what_came_of_it(whole):
    out, report, _ = whole
    assert {path.name for path in out.iterdir()} - {".lock"} == LEFT
    assert TuneReport.load(out / "tuning_report.json") == report
    told = Tuning.load(out / "tuning.json")
    assert told.kind == "chat" and told.tokenizer == BYTES.fingerprint
    assert told.trainable["lora"]["rank"] == 2
    assert set(told.environment) >= {"python", "keras", "tensorflow"}
    for folder in (out, out / "lm"):
        card = (folder / "README.md").read_text()
        for part in (
            told.data["train"]["fingerprint"],
            told.data["validation"]["fingerprint"],
            BYTES.fingerprint,
            f"| loss, after | {report.after['loss']:.6g} |",
            f"| tensorflow | {told.environment['tensorflow']} |",
        ):
            assert part in card


def test_the_loss_on_held_out_answers_falls(whole):
    _, report, _ = whole
    assert report.after["loss"] < report.before["loss"]
    assert report.after["perplexity"] == pytest.approx(
        np.exp(report.after["loss"]), rel=1e-4
    )
    # query and value of two blocks, 16 to 16 each, of rank 2
    assert report.trained_parameters == 2 * 2 * (16 + 16) * 2


def test_a_saved_model_is_the_tuned_one(whole):
    out, report, after = whole
    lm = CausalLM.load(report.model)
    assert active(lm.model) == "default"
    assert not changed(after, weights(lm))
    assert lm.chat_template is not None


def test_killed_tuning_continues_bit_for_bit(base, whole, tmp_path):
    words = [sys.executable, tiny_tuning.__file__, base, tmp_path / "run", "7"]
    done = subprocess.run(words, env=os.environ, capture_output=True)
    assert done.returncode == -9, done.stderr.decode()
    lm = CausalLM.load(base)
    report = tiny_tuning.tune(lm, tmp_path / "run")
    out, expected, after = whole
    assert losses(tmp_path / "run") == losses(out)
    assert not changed(after, weights(lm))
    assert (report.before, report.after) == (expected.before, expected.after)


def test_a_finished_tuning_is_not_done_again(base, whole):
    out, report, after = whole
    lm, history = CausalLM.load(base), losses(out)
    again = tiny_tuning.tune(lm, out)
    assert again.after == report.after and losses(out) == history
    assert not changed(after, weights(lm))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"validation": conversations(5)}, "data was .* and is"),
        ({"learn": "all"}, "options was .*answers.* and is .*all"),
        ({"trainable": {"lora": {"rank": 4}}}, "trainable was"),
        ({"steps": 10}, "steps was 8 and is 10"),
    ],
)
def test_another_tuning_in_the_folder_is_refused(base, whole, changes, says):
    with pytest.raises(InputError, match=says):
        tiny_tuning.tune(CausalLM.load(base), whole[0], **changes)


def test_a_tuning_that_never_began_may_change_its_mind(tmp_path):
    lm, out = language_model(), tmp_path / "run"
    with pytest.raises(InputError, match="optimizer"):
        tiny_tuning.tune(lm, out, optimizer="adam", trainable={})
    assert [path.name for path in out.iterdir()] == ["tuning.json"]
    tiny_tuning.tune(lm, out, steps=2, trainable={"weights": "last_1"})
    assert (out / "tuning_report.json").exists()


@pytest.mark.parametrize(
    "trainable",
    [
        {"neftune": 5.0},
        {"lora": {"rank": 2, "dora": True}, "neftune": 5.0},
        {"lora": {"rank": 2, "rank_stabilized": True}, "bits": 8},
        {"lora": {"rank": 2}, "bits": 4, "neftune": 1.0},
    ],
)
def test_combinations_train_what_they_say(trainable):
    lm = language_model()
    before = weights(lm)
    report = tiny_tuning.tune(lm, None, trainable=trainable)
    assert report.after["loss"] < report.before["loss"]
    after = weights(lm)
    if "lora" in trainable:
        assert not changed({n: before[n] for n in before if n in after}, after)
        assert adapter_names(lm.model) == ["default"]
    if trainable.get("bits"):
        assert "block_0/mlp/up/kernel" not in after


def test_the_last_block_trains_alone():
    lm = language_model()
    before = weights(lm)
    report = tiny_tuning.tune(lm, None, trainable={"weights": "last_1"})
    moved = changed(before, weights(lm))
    assert {path.split("/")[0] for path in moved} == {"block_1", "final_norm"}
    assert report.trained_parameters == sum(before[p].size for p in moved)


def test_layers_may_have_rates_and_begin_later():
    lm = language_model()
    before = weights(lm)
    tiny_tuning.tune(
        lm, None, trainable={}, layer_decay=0.5, unfreeze_every=100
    )
    moved = changed(before, weights(lm))
    assert {path.split("/")[0] for path in moved} == {"final_norm"}


@pytest.mark.parametrize(
    ("trainable", "says"),
    [
        ({"weights": "last_1", "lora": {}}, "either weights .* or a LoRA"),
        ({"bits": 4}, "Expected a LoRA adapter over integers"),
        ({"bits": 3, "lora": {}}, "8 or 4 bits"),
        ({"neftune": -1.0}, "neftune to be above zero"),
        ({"weights": "last_9"}, "N from 1 to 2"),
        ({"ranks": 1}, "unknown keys: ranks"),
    ],
)
def test_choices_that_do_not_fit_are_sentences(trainable, says):
    with pytest.raises(InputError, match=says):
        tiny_tuning.tune(language_model(), None, trainable=trainable)


@pytest.mark.parametrize(
    ("epochs", "given", "expected"),
    [
        (None, {}, (30, 1, 10)),  # three times 80 rows in eights
        (2, {"batch_size": 4}, (40, 1, 20)),
        (None, {"steps": 400}, (400, 10, 10)),
        (0.5, {"batch_size": 500}, (1, 1, 1)),
    ],
)
def test_settings_follow_from_the_size_of_the_data(epochs, given, expected):
    found = settings_for([0] * 80, Trainable(), epochs, given)
    names = ("steps", "log_every", "validate_every")
    assert tuple(found[name] for name in names) == expected


def test_one_of_epochs_steps_and_minutes():
    for epochs, given in ((1, {"steps": 2}), (0, {}), (1, {"minutes": 1.0})):
        with pytest.raises(InputError, match="one of epochs"):
            settings_for([0], Trainable(), epochs, given)


def texts(letters: str, count: int = 40) -> list[str]:
    """Sentences of a small language of its own."""
    random = np.random.default_rng(3)
    names = [word for word in WORDS if word[0] in letters]
    return [" ".join(random.choice(names, 12)) for _ in range(count)]


def test_replay_lowers_what_is_forgotten():
    field, general = texts("arv"), texts("ibpst")
    forgotten = []
    start = language_model(context_length=32, num_layers=1)
    tune.text(start, general, steps=40, learning_rate=1e-2)
    held = start.model.get_weights()
    for replay in ([], general):
        start.model.set_weights(held)
        report = tune.text(
            start,
            field,
            validation=field[:5],
            replay=replay,
            replay_share=0.4,
            general=general[:5],
            steps=40,
            learning_rate=1e-2,
        )
        name = "general perplexity"
        forgotten.append(report.after[name] / report.before[name])
        assert report.after["perplexity"] < report.before["perplexity"]
    assert forgotten[0] > 1.5 * forgotten[1]


def rows():
    return tune.chat_rows(
        conversations(6), BYTES, "keras_llm", context_length=48
    )


def log_softmax(x: np.ndarray) -> np.ndarray:
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def test_distillation_is_the_divergence_by_numpy():
    student, teacher = (language_model(seed).model for seed in (1, 2))
    inputs, targets, learned = rows().batch(np.arange(3))
    found = Distillation(teacher, alpha=0.3, temperature=2.0)(
        student, inputs, targets, learned
    )
    ours, theirs = (
        log_softmax(np.array(model(inputs), "float64") / 2)
        for model in (student, teacher)
    )
    divergence = ((np.exp(theirs) * (theirs - ours)).sum(-1) * learned).sum()
    assert float(found.extras[0]) == pytest.approx(divergence, rel=1e-4)
    plain = float(found.cross_entropy)
    expected = 0.7 * plain + 0.3 * 4 * divergence
    assert float(found.objective) == pytest.approx(expected, rel=1e-5)


def test_distillation_without_alpha_is_plain_cross_entropy():
    student, teacher = (language_model(seed).model for seed in (1, 2))
    batch = rows().batch(np.arange(3))
    found = Distillation(teacher, alpha=0.0)(student, *batch)
    plain = token_loss(student(batch[0]), *batch[1:])
    assert float(found.objective) == float(plain.objective)
    with pytest.raises(InputError, match="alpha from 0 to 1"):
        Distillation(teacher, alpha=1.5)


def test_a_student_comes_nearer_to_its_teacher():
    student, teacher = language_model(1), language_model(2, num_layers=1)
    before = {w.path: np.array(w) for w in teacher.model.weights}
    report = tiny_tuning.tune(
        student, None, teacher=teacher, alpha=1.0, trainable={}
    )
    assert report.after["divergence"] < report.before["divergence"]
    assert not changed(before, weights(teacher))


def test_a_teacher_with_another_tokenizer_is_refused():
    other = HostTokenizer.train(["a rose is a rose"], 265, progress=False)
    teacher = language_model().replace()
    teacher.tokenizer = other
    with pytest.raises(InputError, match="tune.teacher_answers"):
        tiny_tuning.tune(language_model(), None, teacher=teacher)
    with pytest.raises(InputError, match="tune.teacher_answers"):
        tune.text(language_model(), ["a rose"] * 9, teacher=teacher)


def test_a_teacher_writes_answers_where_it_can(capsys):
    teacher, asked = language_model(context_length=64), conversations(3)
    said = list(tune.teacher_answers(teacher, asked, max_new_tokens=4))
    assert "left out teacher's answers" in capsys.readouterr().err
    assert len(said) < len(asked)
    known = {talk.line: talk for talk in asked}
    for one in said:
        assert one.messages[:-1] == known[one.line].messages[:-1]
        assert one.messages[-1] != known[one.line].messages[-1]


def test_general_text_needs_text_of_the_field():
    with pytest.raises(InputError, match="validation texts of the field"):
        tune.text(language_model(), ["a rose"] * 9, general=["a"])


def test_samples_are_answers_of_the_tuned_model(whole):
    out, _, _ = whole
    line = (out / "samples.jsonl").read_text().splitlines()[-1]
    [text] = json.loads(line)["texts"]
    assert text.startswith(conversations(40)[30].messages[-2]["content"])
    assert "\n-> " in text
