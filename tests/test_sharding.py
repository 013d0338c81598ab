"""Which variables are cut over devices: all large ones, none by accident."""

import dataclasses

import keras
import pytest
from contract import CONFIGS

from keras_llm import zoo
from keras_llm.config import DecoderConfig
from keras_llm.errors import InputError
from keras_llm.shapes import parameter_shapes
from keras_llm.train import layout_map
from keras_llm.train.sharding import axes_of

MESHES = {"model": {"batch": 1, "model": 2}, "full": {"batch": 2}}
# Large by their axes, small in size; every device needs them whole.
WHOLE = ("experts/router/kernel", "experts/down_bias")


def mesh_of(sizes: dict[str, int]):
    count = 1
    for size in sizes.values():
        count *= size
    return keras.distribution.DeviceMesh(
        tuple(sizes.values()), tuple(sizes), ["cpu:0"] * count
    )


def even(config: DecoderConfig) -> DecoderConfig:
    """With a vocabulary that two devices share."""
    size = config.vocabulary_size
    return dataclasses.replace(config, vocabulary_size=size + size % 2)


def cut(config: DecoderConfig, sizes: dict[str, int]) -> dict[str, tuple]:
    """Axes by path, of the first block."""
    config = dataclasses.replace(config, num_layers=1)
    found = layout_map(config, mesh_of(sizes))
    return {
        path.removeprefix("block_0/"): found[path].axes
        for path in parameter_shapes(config)
        if found[path] is not None
    }


def test_a_published_table_of_cuts():
    """Megatron-LM, https://arxiv.org/abs/1909.08053, figures 3 and 4."""
    config = even(CONFIGS["gpt2"])
    assert cut(config, MESHES["model"]) == {
        "token_embedding/embeddings": ("model", None),
        "position_embedding/embeddings": ("model", None),
        **{
            f"attention/{name}/{kind}": axes
            for name in ("query", "key", "value")
            for kind, axes in (
                ("kernel", (None, "model")),
                ("bias", ("model",)),
            )
        },
        "attention/output/kernel": ("model", None),
        "mlp/up/kernel": (None, "model"),
        "mlp/up/bias": ("model",),
        "mlp/down/kernel": ("model", None),
    }


def test_experts_are_cut_by_expert_or_as_mlps():
    found = cut(even(CONFIGS["gpt_oss"]), MESHES["model"])
    experts = {p: a for p, a in found.items() if p.startswith("experts")}
    assert experts == {
        "experts/gate": ("model", None, None),
        "experts/up": ("model", None, None),
        "experts/down": ("model", None, None),
        "experts/gate_bias": ("model", None),
        "experts/up_bias": ("model", None),
    }
    found = cut(even(CONFIGS["shared_expert"]), MESHES["model"])  # of three
    assert found["experts/gate"] == (None, None, "model")
    assert found["experts/down"] == (None, "model", None)
    assert found["experts/shared/up/kernel"] == (None, "model")


@pytest.mark.parametrize("kind", MESHES)
@pytest.mark.parametrize("name", CONFIGS)
def test_every_matrix_of_every_config_is_cut(name, kind):
    config = even(CONFIGS[name])
    found = layout_map(config, mesh_of(MESHES[kind]))
    for path, shape in parameter_shapes(config).items():
        if len(shape) > 1:
            assert bool(found[path]) != path.endswith(WHOLE), path
        if found[path]:
            axes = found[path].axes
            assert len(axes) == len(shape)
            assert [a for a in axes if a] == [list(MESHES[kind])[-1]]


@pytest.mark.parametrize("kind", MESHES)
@pytest.mark.parametrize("name", zoo.list())
def test_of_every_preset_next_to_nothing_stays_whole(name, kind):
    config = dataclasses.replace(even(zoo.config(name)), num_layers=12)
    if config.num_heads % 2 and kind == "model":
        with pytest.raises(InputError, match=f"num_heads={config.num_heads}"):
            layout_map(config, mesh_of(MESHES[kind]))
        return
    found = layout_map(config, mesh_of(MESHES[kind]))
    sizes = {}
    for path, shape in parameter_shapes(config).items():
        sizes[path] = 1
        for length in shape:
            sizes[path] *= length
    whole = sum(size for path, size in sizes.items() if not found[path])
    assert whole < 0.01 * sum(sizes.values())


@pytest.mark.parametrize(
    ("changes", "sizes", "said"),
    [
        ({}, {"batch": 2, "model": 2}, "vocabulary_size to be a multiple of "),
        ({"vocabulary_size": 63}, {"batch": 1, "model": 3}, "num_heads=4"),
        ({"vocabulary_size": 64}, {"batch": 7}, "vocabulary_size.*7 devices"),
        (
            {"vocabulary_size": 64, "mlp_dim": 6},
            {"batch": 1, "model": 4},
            "mlp_dim to be a multiple of the 4",
        ),
    ],
)
def test_what_a_mesh_does_not_divide_is_a_sentence(changes, sizes, said):
    config = dataclasses.replace(CONFIGS["llama"], **changes)
    with pytest.raises(InputError, match=said):
        layout_map(config, mesh_of(sizes))


def test_patterns_that_match_nothing_are_refused():
    config, mesh = even(CONFIGS["llama"]), mesh_of(MESHES["model"])
    with pytest.raises(InputError, match="'atention', which matches none"):
        layout_map(config, mesh, {"atention": (None, "model")})
    found = layout_map(config, mesh, {"2/.*query/kernel": ("model", None)})
    assert found["block_2/attention/query/kernel"].axes == ("model", None)
    assert found["block_1/attention/query/kernel"].axes == (None, "model")


def test_large_variables_without_a_rule_are_refused():
    sizes = MESHES["model"]
    assert axes_of("adapter/kernel", (4, 4), sizes) == (None, None)
    with pytest.raises(InputError, match="adapter/kernel.*no rule"):
        axes_of("adapter/kernel", (256, 256), sizes)
