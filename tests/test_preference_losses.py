"""Losses of preferences: values and gradients in plain numpy, and TRL's."""

import inspect
import types

import numpy as np
import pytest
import tensorflow as tf

from keras_llm.tune import preference_losses as losses

ROWS = 6


@pytest.fixture
def pairs():
    """Log-probabilities of a model and its reference, and lengths."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 9, (ROWS, 2)).astype("float32")
    sums = -rng.gamma(2.0, 1.0, (ROWS, 2)).astype("float32") * lengths
    drift = rng.normal(0, 2, (ROWS, 2)).astype("float32")
    return sums, sums + drift, lengths


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def plain_dpo(sums, reference, lengths, beta=0.3, smoothing=0.0):
    ratios = sums - reference
    x = beta * (ratios[:, 0] - ratios[:, 1])
    right, wrong = -np.log(sigmoid(x)), -np.log(sigmoid(-x))
    return (1 - smoothing) * right + smoothing * wrong


def plain_cdpo(sums, reference, lengths):
    return plain_dpo(sums, reference, lengths, smoothing=0.2)


def plain_ipo(sums, reference, lengths):
    ratios = (sums - reference) / lengths
    return (ratios[:, 0] - ratios[:, 1] - 1 / (2 * 0.3)) ** 2


def plain_simpo(sums, reference, lengths):
    means = sums / lengths
    return -np.log(sigmoid(2.0 * (means[:, 0] - means[:, 1]) - 0.7))


def plain_orpo(sums, reference, lengths):
    p = np.exp(sums / lengths)
    odds = p / (1 - p)
    ratio = np.log(sigmoid(np.log(odds[:, 0] / odds[:, 1])))
    return -np.log(p[:, 0]) - 0.4 * ratio


OURS = {
    "dpo": (lambda s, r, n: losses.dpo(s - r, 0.3), plain_dpo),
    "cdpo": (lambda s, r, n: losses.dpo(s - r, 0.3, 0.2), plain_cdpo),
    "ipo": (lambda s, r, n: losses.ipo(s - r, n, 0.3), plain_ipo),
    "simpo": (lambda s, r, n: losses.simpo(s, n, 2.0, 0.7), plain_simpo),
    "orpo": (lambda s, r, n: losses.orpo(s, n, 0.4), plain_orpo),
}


def numeric_gradient(function, x, step=1e-5):
    """Central differences of the sum of a function, in float64."""
    x = x.astype("float64")
    gradient = np.zeros_like(x)
    for index in np.ndindex(*x.shape):
        shift = np.zeros_like(x)
        shift[index] = step
        difference = function(x + shift).sum() - function(x - shift).sum()
        gradient[index] = difference / (2 * step)
    return gradient


def value_and_gradient(function, x):
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = function(x)
    return value.numpy(), tape.gradient(value, x).numpy()


@pytest.mark.parametrize("name", OURS)
def test_values_and_gradients_are_those_of_plain_numpy(pairs, name):
    sums, reference, lengths = pairs
    ours, plain = OURS[name]
    value, gradient = value_and_gradient(
        lambda s: ours(s, reference, lengths), sums
    )
    np.testing.assert_allclose(
        value, plain(*(x.astype("float64") for x in pairs)), 2e-5
    )
    expected = numeric_gradient(lambda s: plain(s, reference, lengths), sums)
    np.testing.assert_allclose(gradient, expected, 1e-3, 1e-5)


@pytest.mark.parametrize("baseline", [0.0, 1.5])
def test_kto_is_that_of_plain_numpy(pairs, baseline):
    sums, reference, _ = pairs
    ratios = (sums - reference)[:, 0]
    good = np.array([1, 0, 1, 1, 0, 0], "float32")

    def plain(ratios):
        likes = 1 - sigmoid(0.3 * (ratios - baseline))
        dislikes = 1 - sigmoid(0.3 * (baseline - ratios))
        return np.where(good > 0, 1.2 * likes, 0.8 * dislikes)

    value, gradient = value_and_gradient(
        lambda r: losses.kto(r, good, baseline, 0.3, 1.2, 0.8), ratios
    )
    np.testing.assert_allclose(value, plain(ratios), 1e-5)
    expected = numeric_gradient(plain, ratios)
    np.testing.assert_allclose(gradient, expected, 1e-3, 1e-6)


def test_far_from_the_reference_losses_and_gradients_are_finite():
    sums = np.array([[-1e-9, -1e4], [-1e4, -1e-9]], "float32")
    for ours, _ in OURS.values():
        value, gradient = value_and_gradient(
            lambda s, ours=ours: ours(s, 0.0 * sums, 1 + 0 * sums), sums
        )
        assert np.isfinite(value).all() and np.isfinite(gradient).all()


def test_log_probabilities_of_answers_are_those_of_numpy():
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(2, 5, 7)).astype("float32")
    targets = rng.integers(0, 7, (2, 5)).astype("int32")
    segments = np.array([[1, 1, 2, 2, 2], [1, 2, 2, 0, 0]], "int32")
    weights = np.array([[0, 1, 0, 1, 1], [1, 0, 1, 0, 0]], "float32")
    sums, lengths = losses.answer_log_probabilities(
        logits, targets, weights, segments
    )
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    each = np.log(np.take_along_axis(p, targets[..., None], -1))[..., 0]
    expected = [
        [each[0, 1], each[0, 3] + each[0, 4]],
        [each[1, 0], each[1, 2]],
    ]
    np.testing.assert_allclose(sums, expected, 1e-5)
    np.testing.assert_array_equal(lengths, [[1, 2], [1, 1]])


# === TRL ===


class FoundError(Exception):
    """TRL has its loss; what it would do next are metrics."""


def stopping_at(name, local, attributes, found):
    """A trainer that notes TRL's local variable where TRL asks for a name."""

    def noted(self):
        found["loss"] = inspect.currentframe().f_back.f_locals[local]
        raise FoundError

    return type("Trainer", (), {**vars(attributes), name: property(noted)})()


def trl_dpo(trl, torch, kind, pairs, smoothing=0.0):
    """TRL's loss on given log-probabilities, without a model or trainer."""
    sums, reference, lengths = (torch.tensor(x) for x in pairs)
    size = int(lengths.max()) + 1
    order = torch.arange(size)[None]
    flat = torch.cat([lengths[:, 0], lengths[:, 1]])
    mask = ((order > 0) & (order <= flat[:, None])).long()
    scored = torch.cat([sums[:, 0], sums[:, 1]]) / flat
    tokens = (scored[:, None] * mask[:, 1:]).requires_grad_()
    found = {}
    trainer = types.SimpleNamespace(
        model=types.SimpleNamespace(training=True),
        accelerator=types.SimpleNamespace(device="cpu"),
        aux_loss_enabled=False,
        ld_alpha=None,
        precompute_ref_logps=True,
        f_divergence_type="reverse_kl",
        loss_types=[kind],
        loss_weights=[1.0],
        label_smoothing=smoothing,
        beta=0.3,
    )

    trainer = stopping_at("use_weighting", "per_sequence_loss", trainer, found)
    inputs = {
        "input_ids": torch.zeros(mask.shape, dtype=torch.long),
        "completion_mask": mask,
        "ref_chosen_logps": reference[:, 0],
        "ref_rejected_logps": reference[:, 1],
    }

    def model(**_):
        return types.SimpleNamespace(log_probs=tokens)

    with pytest.raises(FoundError):
        trl.DPOTrainer._compute_loss(trainer, model, inputs, False)
    loss = found["loss"]
    # Of the sums: the gradient of an answer's first token is that of all.
    gradient = torch.autograd.grad(loss.sum(), tokens)[0][:, 0]
    return loss.detach().numpy(), gradient.reshape(2, -1).T.numpy()


@pytest.mark.parametrize("name", ["dpo", "ipo"])
def test_dpo_and_ipo_are_trls(pairs, name):
    trl = pytest.importorskip("trl")
    torch = pytest.importorskip("torch")
    sums, reference, lengths = pairs
    kind = {"dpo": "sigmoid", "ipo": "ipo"}[name]
    expected, slope = trl_dpo(trl, torch, kind, pairs)
    value, gradient = value_and_gradient(
        lambda s: OURS[name][0](s, reference, lengths), sums
    )
    np.testing.assert_allclose(value, expected, 1e-4)
    np.testing.assert_allclose(gradient, slope, 1e-3, 1e-6)


def test_kto_and_its_baseline_are_trls(pairs):
    trl = pytest.importorskip("trl")
    torch = pytest.importorskip("torch")
    sums, reference, _ = pairs
    good = np.array([1, 0, 1, 1, 0, 0], "float32")
    found = {}
    trainer = types.SimpleNamespace(
        model=types.SimpleNamespace(training=True),
        accelerator=types.SimpleNamespace(
            device="cpu", gather_for_metrics=lambda x: x
        ),
        aux_loss_enabled=False,
        calculate_KL=True,
        precompute_ref_logps=True,
        loss_type="kto",
        beta=0.3,
        desirable_weight=1.2,
        undesirable_weight=0.8,
        _compute_kl_logps=staticmethod(lambda *_: torch.tensor(sums[:, 1])),
    )
    trainer = stopping_at("_metrics", "losses", trainer, found)
    batch = {
        "label": torch.tensor(good > 0),
        "input_ids": torch.zeros((ROWS, 2), dtype=torch.long),
        "completion_mask": torch.tensor([[0, 1]] * ROWS),
        "ref_logps": torch.tensor(reference[:, 0]),
        "ref_KL_logps": torch.tensor(reference[:, 1]),
    }
    outputs = types.SimpleNamespace(log_probs=torch.tensor(sums[:, :1]))
    with pytest.raises(FoundError):
        trl.KTOTrainer._compute_loss(trainer, lambda **_: outputs, batch, False)
    ratios = sums - reference
    baseline = max(float(ratios[:, 1].mean()), 0.0)
    ours = losses.kto(ratios[:, 0], good, baseline, 0.3, 1.2, 0.8).numpy()
    expected = np.concatenate([ours[good > 0], ours[good == 0]])
    np.testing.assert_allclose(found["loss"].numpy(), expected, 1e-5)


def test_simpo_is_trls(pairs):
    cpo = pytest.importorskip("trl.experimental.cpo")
    torch = pytest.importorskip("torch")
    sums, _, lengths = pairs
    trainer = types.SimpleNamespace(
        alpha=0.0,
        accelerator=types.SimpleNamespace(device="cpu"),
        loss_type="simpo",
        simpo_gamma=0.7,
        beta=2.0,
        label_smoothing=0.1,
    )
    means = torch.tensor(sums / lengths)
    expected = cpo.CPOTrainer.cpo_loss(trainer, means[:, 0], means[:, 1])[0]
    found = losses.simpo(sums, lengths, 2.0, 0.7, 0.1)
    np.testing.assert_allclose(found, expected.numpy(), 1e-5)


def test_the_odds_of_orpo_are_trls(pairs):
    orpo = pytest.importorskip("trl.experimental.orpo")
    torch = pytest.importorskip("torch")
    sums, _, lengths = pairs
    trainer = types.SimpleNamespace(
        beta=0.4, accelerator=types.SimpleNamespace(device="cpu")
    )
    means = torch.tensor(sums / lengths)
    expected = orpo.ORPOTrainer.odds_ratio_loss(
        trainer, means[:, 0], means[:, 1]
    )[0]
    found = losses.orpo(sums, lengths, 0.4) + (sums / lengths)[:, 0]
    np.testing.assert_allclose(found, -expected.numpy(), 1e-4, 1e-6)
