"""Rotary positions in a config.json: every form, both ways, or a refusal."""

import json

import numpy as np
import pytest
from families import LONG_ROPE
from test_parity import live

from keras_llm import DecoderConfig, InputError
from keras_llm.config import Rope
from keras_llm.layers import rotary_amplitude, rotary_frequencies
from keras_llm.zoo.phi3_rope import PHI_3_MINI, PHI_4_MINI
from keras_llm.zoo.rope import RopeRule

CONTEXT = "max_position_embeddings"
ORIGINAL = "original_max_position_embeddings"
PLAIN = RopeRule()
PHI3 = RopeRule(
    fraction_key="partial_rotary_factor",
    original_key=ORIGINAL,
    kind_key="type",
    kinds=("default", "longrope"),
)
GEMMA3 = RopeRule(theta=1e6, local_theta=1e4)
NEOX = RopeRule(
    theta_key="rotary_emb_base", fraction=0.25, fraction_key="rotary_pct"
)
YARN = {
    "rope_type": "yarn",
    "factor": 32.0,
    "beta_fast": 16.0,
    "beta_slow": 2.0,
    "truncate": False,
    ORIGINAL: 8,
}
GPT_OSS = RopeRule(theta=150000.0, scaling=YARN)
FACTORS = dict(short_factors=(1.0, 1.5), long_factors=(2.0, 5.0))
LONG = Rope(scaling="longrope", factor=8.0, original_context=8, **FACTORS)
LISTS = {k: LONG_ROPE[k] for k in ("short_factor", "long_factor")}


def config(rope: Rope | None) -> DecoderConfig:
    pairs = len(rope.short_factors) or 2 if rope else 2
    return DecoderConfig(
        vocabulary_size=9,
        context_length=64,
        num_layers=1,
        hidden_dim=16,
        num_heads=2,
        head_dim=int(2 * pairs / rope.fraction) if rope else 4,
        rope=rope,
    )


def read(rule: RopeRule, **values) -> Rope:
    return rule.read({CONTEXT: 64, **values})["rope"]


def refuses(call, *words: str) -> None:
    with pytest.raises(InputError) as caught:
        call()
    assert all(word in str(caught.value) for word in words), caught.value


@pytest.mark.parametrize(
    ("rule", "rope"),
    [
        (PLAIN, Rope(theta=500.0)),
        (PLAIN, Rope(scaling="linear", factor=3.0)),
        (PLAIN, Rope(scaling="llama3", factor=3.0, original_context=8)),
        (
            GPT_OSS,
            Rope(
                scaling="yarn",
                factor=4.0,
                original_context=8,
                truncate=False,
                attention_factor=1.5,
                beta_slow=2.0,
            ),
        ),
        (PLAIN, LONG),
        (PHI3, LONG),
        (PHI3, Rope(fraction=0.5, theta=7.0)),
        (
            PHI3,
            Rope(
                scaling="longrope",
                fraction=0.5,
                factor=5.0,
                original_context=8,
                attention_factor=1.2,
                **FACTORS,
            ),
        ),
        (NEOX, Rope(fraction=0.5)),
        (NEOX, Rope(fraction=0.25, theta=100.0)),
        (GEMMA3, Rope(theta=1e6, local_theta=1e4)),
        (
            GEMMA3,
            Rope(theta=5e5, local_theta=50.0, scaling="linear", factor=8.0),
        ),
    ],
)
def test_what_is_written_is_read_back(rule, rope):
    values = json.loads(json.dumps(rule.write(config(rope))))
    assert set(values) <= set(rule.keys)
    assert read(rule, **values) == rope


@pytest.mark.parametrize(
    "values",
    [
        dict(rope_scaling=LISTS | {"type": "longrope"}, **{ORIGINAL: 8}),
        dict(rope_scaling=LISTS | {"type": "su"}, **{ORIGINAL: 8}),
        # As `transformers` 5.23 saves it: the same number twice.
        dict(
            rope_parameters={
                "rope_type": "longrope",
                "rope_theta": 10000.0,
                "partial_rotary_factor": 1.0,
                ORIGINAL: 8,
                **LISTS,
            },
            **{ORIGINAL: 8},
        ),
        dict(
            rope_scaling={
                "rope_type": "longrope",
                "factor": None,
                "attention_factor": None,
                ORIGINAL: 8,
                **LISTS,
            },
            rope_theta=None,
            partial_rotary_factor=None,
        ),
    ],
)
def test_the_forms_of_longrope_say_the_same(values):
    assert read(PHI3, **values) == LONG


def test_longrope_is_written_as_older_readers_want_it():
    values = PHI3.write(config(LONG))
    assert values["rope_scaling"] == LISTS | {"type": "longrope"}
    assert values[ORIGINAL] == 8
    plain = PHI3.write(config(Rope()))
    assert plain["rope_scaling"] is None and plain[ORIGINAL] == 64


def test_a_factor_that_lengths_do_not_say_is_written():
    stretched = Rope(**{**LONG.to_dict(), "factor": 2.5})
    assert PHI3.write(config(stretched))["rope_scaling"]["factor"] == 2.5


@pytest.mark.parametrize(
    "values",
    [
        dict(
            rope_theta=5e5,
            rope_local_base_freq=50.0,
            rope_scaling={"rope_type": "linear", "factor": 8.0},
        ),
        dict(
            rope_parameters={
                "full_attention": {
                    "rope_type": "linear",
                    "factor": 8.0,
                    "rope_theta": 5e5,
                },
                "sliding_attention": {
                    "rope_type": "default",
                    "rope_theta": 50.0,
                },
            }
        ),
    ],
)
def test_both_forms_of_two_bases_say_the_same(values):
    expected = Rope(theta=5e5, local_theta=50.0, scaling="linear", factor=8.0)
    assert read(GEMMA3, **values) == expected


@pytest.mark.parametrize(
    "values",
    [
        {},
        dict(rope_scaling=None, rope_parameters=None, rope_theta=None),
        dict(rope_parameters={"full_attention": None}),
        dict(rope_parameters={"sliding_attention": {}}),
    ],
)
def test_what_is_not_given_has_the_familys_value(values):
    assert read(GEMMA3, **values) == Rope(theta=1e6, local_theta=1e4)


def test_a_family_may_have_scaling_of_its_own():
    expected = Rope(
        theta=150000.0,
        scaling="yarn",
        factor=32.0,
        beta_fast=16.0,
        beta_slow=2.0,
        truncate=False,
        original_context=8,
    )
    assert read(GPT_OSS) == read(GPT_OSS, rope_scaling=None) == expected
    given = {"rope_type": "default", "rope_theta": 7.0}
    assert read(GPT_OSS, rope_parameters=given) == Rope(theta=7.0)


def test_the_share_of_turning_channels_has_two_places():
    inner = {"partial_rotary_factor": 0.5}
    assert read(PHI3, rope_parameters=inner).fraction == 0.5
    assert read(PHI3, partial_rotary_factor=0.5).fraction == 0.5
    assert read(NEOX, rope_parameters=inner).fraction == 0.5
    assert read(NEOX, rotary_pct=0.5).fraction == 0.5
    assert (read(NEOX).fraction, read(PHI3).fraction) == (0.25, 1.0)


@pytest.mark.parametrize(
    ("rule", "values", "words"),
    [
        (PHI3, dict(rope_scaling={"type": "longrope"}), ("missing", "long_")),
        (
            PHI3,
            dict(rope_scaling={"type": "linear", "factor": 2.0}),
            ("default or longrope", "linear"),
        ),
        (
            PHI3,
            dict(rope_scaling=LONG_ROPE | {"long_mscale": 1.2}),
            ("long_mscale=1.2",),
        ),
        (
            PHI3,
            dict(rope_parameters=LONG_ROPE | {ORIGINAL: 8}, **{ORIGINAL: 9}),
            (ORIGINAL, "8 and 9"),
        ),
        (
            PHI3,
            dict(
                partial_rotary_factor=0.5,
                rope_parameters={"partial_rotary_factor": 0.75},
            ),
            ("partial_rotary_factor", "0.75 and 0.5"),
        ),
        (PLAIN, dict(rope_scaling=LONG_ROPE | {ORIGINAL: "8"}), ("factor",)),
        (PLAIN, dict(rope_scaling={"rope_type": ["yarn"]}), ("['yarn']",)),
        (
            PHI3,
            dict(rope_scaling=LONG_ROPE | {"long_factor": 5}),
            ("long_", "5"),
        ),
        (
            PHI3,
            dict(rope_scaling=LONG_ROPE | {"short_factor": [1.0, "a"]}),
            ("short_factors", "'a'"),
        ),
        (GEMMA3, dict(rope_parameters={"rope_theta": 1.0}), ("rope_theta",)),
        (
            GEMMA3,
            dict(
                rope_parameters={
                    "sliding_attention": {"rope_type": "linear", "factor": 2.0}
                }
            ),
            ("default", "linear"),
        ),
        (
            PLAIN,
            dict(rope_parameters={"full_attention": {"rope_theta": 1.0}}),
            ("full_attention",),
        ),
    ],
)
def test_what_is_not_understood_is_refused_by_name(rule, values, words):
    refuses(lambda: read(rule, **values), *words)


def test_what_other_readers_do_not_know_is_not_written():
    refuses(lambda: PHI3.write(config(Rope(scaling="linear"))), "linear")
    refuses(lambda: PHI3.write(config(None)), "rope=None")


@live
@pytest.mark.parametrize(
    ("rope", "context"),
    [
        (PHI_3_MINI, 131072),
        (PHI_4_MINI, 131072),
        (LONG, 64),
        (Rope(**{**LONG.to_dict(), "factor": 2.5}), 64),
        (Rope(**{**LONG.to_dict(), "factor": 0.5}), 4),
        (Rope(**{**LONG.to_dict(), "attention_factor": 0.7}), 64),
    ],
)
def test_longrope_turns_as_in_transformers(rope, context):
    """Their attention factor: the given one; else from the factor, which is
    the given one, else the quotient of the lengths; 1 for factors up to 1.
    There is no other for short texts."""
    import transformers
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    written = config(rope).replace(context_length=context)
    width = written.head_dim
    theirs = transformers.Phi3Config(
        hidden_size=width,
        num_attention_heads=1,
        **{CONTEXT: context},
        **PHI3.write(written),
    )
    for long in (False, True):
        speeds, amplitude = ROPE_INIT_FUNCTIONS["longrope"](
            theirs, "cpu", seq_len=rope.original_context + long
        )
        ours = rotary_frequencies(width, rope, long)
        np.testing.assert_allclose(ours, speeds, rtol=1e-6)
        assert rotary_amplitude(rope) == pytest.approx(amplitude, rel=1e-12)
