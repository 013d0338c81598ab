"""Pictures of configs and settings hold what others compute of them."""

import math

import numpy as np
import pytest

from keras_llm import DecoderConfig, InputError, Rope
from keras_llm.data import Row, open_rows, pack, pack_corpus
from keras_llm.data.document import Document
from keras_llm.estimate_memory import memory_per_device
from keras_llm.estimate_setup import Setup
from keras_llm.layers import RotaryEmbedding, new_cache
from keras_llm.tokenizers import HostTokenizer
from keras_llm.train import TrainConfig, schedule
from keras_llm.visualize import (
    Serving,
    cache_figure,
    cache_sizes,
    mask_figure,
    memory_figure,
    memory_parts,
    rotary_figure,
    rotary_speeds,
    row_mask,
    schedule_figure,
    schedule_rates,
)

CONFIG = DecoderConfig(
    vocabulary_size=50,
    context_length=64,
    num_layers=6,
    hidden_dim=64,
    num_heads=4,
    num_kv_heads=2,
)
ROW = next(pack([[5, 6, 7], [8, 9], [4, 3, 2]], row_length=11))


def by_hand(segments, window):
    """Who sees whom, said once more in Python."""
    return [
        [
            j <= i and a == b and (window is None or i - j < window)
            for j, b in enumerate(segments)
        ]
        for i, a in enumerate(segments)
    ]


@pytest.mark.parametrize("window", [None, 1, 2])
def test_the_mask_is_that_of_its_rule(window):
    mask = row_mask(ROW, window)
    assert mask.dtype == bool
    assert mask.tolist() == by_hand(ROW.segments[:-1].tolist(), window)


def test_rows_from_the_disk_have_the_same_mask(tmp_path):
    texts = ["a rose is a rose", "a thorn"]
    tokenizer = HostTokenizer.train(texts, 262, progress=False)
    documents = [Document(text, "") for text in texts]
    pack_corpus(documents, tokenizer, tmp_path / "rows", context_length=40)
    rows = open_rows(tmp_path / "rows")
    packed = rows[[0]]
    row = Row(packed["tokens"][0], packed["segments"][0])
    assert np.array_equal(row_mask(packed), row_mask(row))
    figure = mask_figure(packed, tokenizer=tokenizer)
    labels = [one.get_text() for one in figure.axes[0].get_yticklabels()]
    assert len(labels) == 40 and "pad" in labels and labels[1:3] == ["a", "·"]
    assert figure.axes[0].get_title() == ""  # no window, nothing to tell apart


def test_the_picture_of_a_mask_colours_documents():
    figure = mask_figure(ROW, window=2)
    tables = [axes.images[0].get_array() for axes in figure.axes]
    for table, window in zip(tables, (None, 2), strict=True):
        assert np.array_equal(table > 0, row_mask(ROW, window))
    seen = {int(tables[0][i, i]) for i in range(10)}
    assert len(seen) == 1 + 3  # padding, and each document its own


FACTORS = {
    "short_factors": tuple(np.linspace(1, 2, 8)),
    "long_factors": tuple(np.linspace(2, 9, 8)),
}
SCALED = {
    "none": Rope(),
    "linear": Rope(scaling="linear", factor=4.0),
    "llama3": Rope(scaling="llama3", factor=4.0, original_context=32),
    "yarn": Rope(scaling="yarn", factor=4.0, original_context=32),
    "longrope": Rope(
        scaling="longrope", factor=4.0, original_context=32, **FACTORS
    ),
}


@pytest.mark.parametrize("kind", SCALED)
def test_the_speeds_are_those_of_the_layer(kind):
    rope = SCALED[kind]
    found = rotary_speeds(CONFIG.replace(rope=rope))
    layer = RotaryEmbedding(CONFIG.head_dim, rope)
    short, long = next(iter(found.values())), list(found.values())[-1]
    for speeds, length in ((short, 8), (long, 64)):
        cos, sin = layer(np.array([[1]]), length=np.array([[length]]))
        angle = np.arctan2(sin, cos)[0, 0]
        assert np.allclose(angle, speeds, atol=1e-6)
    assert ("longer" in found) == (kind == "longrope")


def test_plain_speeds_are_powers_of_the_base():
    speeds = rotary_speeds(CONFIG)[""]
    expected = [10_000 ** (-2 * i / 16) for i in range(8)]
    assert np.allclose(speeds, expected)


def test_local_layers_have_speeds_of_their_own():
    config = CONFIG.replace(
        pattern="LG", window=4, rope=Rope(theta=1e6, local_theta=100.0)
    )
    found = rotary_speeds(config)
    assert [*found] == ["global layers", "local layers"]
    ratio = [one[1] for one in found.values()]
    assert np.allclose(ratio, [1e6 ** (-1 / 8), 100 ** (-1 / 8)])


def test_the_picture_of_angles():
    configs = {name: CONFIG.replace(rope=one) for name, one in SCALED.items()}
    figure = rotary_figure(configs, positions=20)
    *maps, _, turns = [axes for axes in figure.axes if axes.has_data()]
    names = [axes.get_title() for axes in maps]
    assert names[-2:] == ["longrope, up to 32 tokens", "longrope, longer"]
    image = maps[0].images[0].get_array()
    assert np.allclose(image[1], np.cos(rotary_speeds(CONFIG)[""]))
    assert [line.get_ydata()[0] for line in turns.lines[:2]] == [32, 64]
    line = turns.lines[2].get_ydata()  # after those of the contexts
    assert np.allclose(line[0], 2 * math.pi)


SETTINGS = {"steps": 40, "learning_rate": 2.0, "warmup_steps": 4}


def test_rates_are_those_of_the_formula():
    steps, rates = schedule_rates(TrainConfig(schedule="linear", **SETTINGS))
    share = np.clip((steps - 4) / 36, 0, 1)
    fall = 0.1 + 0.9 * (1 - share)
    expected = 2.0 * np.where(steps < 4, (steps + 1) / 4, fall)
    assert steps.tolist() == list(range(40))
    assert np.allclose(rates, expected, atol=1e-6)


def test_keras_own_schedules_are_drawn_too():
    import keras

    rate = keras.optimizers.schedules.CosineDecay(1.0, 1000)
    steps, rates = schedule_rates(rate, 1000)
    assert len(steps) <= 400 and steps[0] == 0 and steps[-1] == 999
    expected = 0.5 * (1 + np.cos(np.pi * steps / 1000))
    assert np.allclose(rates, expected, atol=1e-5)


def test_several_schedules_share_a_picture():
    figure = schedule_figure(
        {
            "settings": TrainConfig(**SETTINGS),
            "wsd": schedule("wsd", 1.0, total_steps=40),
        }
    )
    (axes,) = figure.axes
    assert [line.get_label() for line in axes.lines] == ["settings", "wsd"]
    assert max(axes.lines[0].get_ydata()) == pytest.approx(2.0)


@pytest.mark.parametrize("change", [{}, {"remat": True}, {"accumulate": 2}])
def test_training_parts_are_those_of_the_estimate(change):
    setup = Setup(**{"batch_size": 4, **change})
    parts = memory_parts(CONFIG, setup)
    assert sum(parts.values()) == memory_per_device(CONFIG, setup).total


def test_served_parts_are_the_sizes_of_real_arrays():
    from keras_llm import build_decoder

    model = build_decoder(CONFIG)
    parts = memory_parts(
        CONFIG, Serving(rows=3, context=20, precision="float32")
    )
    assert parts["weights"] == sum(w.numpy().nbytes for w in model.weights)
    cache = new_cache(CONFIG, 3, 20, "bfloat16")
    assert parts["KV cache"] == sum(2 * math.prod(c.shape) for c in cache)


def test_bars_of_memory_are_stacked():
    setups = {"train": Setup(batch_size=4), "serve": Serving(rows=2)}
    (axes,) = memory_figure(CONFIG, setups, limit=2_000_000).axes
    totals = [
        sum(memory_parts(CONFIG, one).values()) for one in setups.values()
    ]
    unit = {"MB": 1e6, "kB": 1e3}[axes.get_xlabel().split()[-1]]
    for row, total in enumerate(totals):
        ends = [
            bar.get_x() + bar.get_width()
            for bar in axes.patches
            if round(bar.get_y() + 0.35) == row
        ]
        assert max(ends) == pytest.approx(total / unit)
        shown = axes.texts[row].get_text()
        assert float(shown.split()[0]) == pytest.approx(total / unit, 0.01)


def test_caches_are_what_formulas_say():
    sizes = cache_sizes(CONFIG, [8, 32], window=10, latent=48)
    width = 2 * 6 * 16 * 2  # keys and values, layers, channels, bytes
    windows = 2 * 16 * 2 * 2  # the same of a layer, two groups
    expected = {
        "MHA, 4 heads": [8 * width * 4, 32 * width * 4],
        "GQA, 2 of 4": [8 * width * 2, 32 * width * 2],
        "MQA, 1 of 4": [8 * width, 32 * width],
        "2 of 4, 5 of 6 layers see 10": [
            8 * windows * 6,
            (5 * 10 + 32) * windows,
        ],
        "MLA, latent of 48": [8 * 6 * 48 * 2, 32 * 6 * 48 * 2],
    }
    assert {n: one.tolist() for n, one in sizes.items()} == expected


def test_the_config_has_the_last_word_on_its_window():
    config = CONFIG.replace(pattern="LG", window=7, num_kv_heads=4)
    sizes = cache_sizes(config, [64], latent=None)
    assert [*sizes] == [
        "MHA, 4 heads",
        "MQA, 1 of 4",
        "4 of 4, 3 of 6 layers see 7",
    ]
    shares = sizes["4 of 4, 3 of 6 layers see 7"] / sizes["MHA, 4 heads"]
    assert shares[0] == pytest.approx((7 + 64) / 128)


def test_the_picture_of_caches_ends_at_the_context():
    (axes,) = cache_figure(CONFIG.replace(context_length=100)).axes
    assert [line.get_xdata()[-1] for line in axes.lines] == [100] * 4
    title = axes.get_legend().get_title().get_text()
    assert title == "at 100 tokens"


def test_mistakes_are_sentences():
    two = {"tokens": np.ones((2, 5)), "segments": np.ones((2, 5))}
    cases = {
        "Expected a packed row": lambda: row_mask(np.ones(4)),
        "Expected one packed row. Received: 2": lambda: row_mask(two),
        "rope=None": lambda: rotary_speeds(CONFIG.replace(rope=None)),
        "steps=None": lambda: schedule_rates(TrainConfig(minutes=3)),
        "Received: steps=0": lambda: schedule_rates(
            schedule("wsd", 1.0, total_steps=9), 0
        ),
        "at least one token each. Received: [4, 0]": lambda: cache_sizes(
            CONFIG, [4, 0]
        ),
        "Expected rows to be above zero": lambda: Serving(rows=0),
        "Expected precision to be one of": lambda: Serving(precision="int2"),
    }
    for sentence, call in cases.items():
        with pytest.raises(InputError) as error:
            call()
        assert sentence in str(error.value)
