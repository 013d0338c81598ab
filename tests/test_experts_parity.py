"""The mixture of experts beside the sparse blocks of `transformers`."""

import importlib
import importlib.util

import contract
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from mixtures import HIDDEN, INNER, WAYS, rows_of

from keras_llm.layers import MixtureOfExperts, dispatch_by

live = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("torch", "transformers"))),
    reason="torch or transformers is missing",
)


@live
@pytest.mark.parametrize("theirs", ["mixtral", "qwen3_moe", "gpt_oss"])
def test_equals_the_sparse_block_of_transformers(theirs):
    """Outputs and all gradients, with the same weights."""
    import torch

    ours, block, pairs = peer_layer(theirs)
    x = rows_of(12).reshape(2, 6, HIDDEN)
    theirs_x = torch.tensor(x, requires_grad=True)
    expected = block(theirs_x)
    expected = expected[0] if isinstance(expected, tuple) else expected
    expected.square().sum().backward()
    for way in WAYS:
        with dispatch_by(way), tf.GradientTape() as tape:
            given = tf.constant(x)
            tape.watch(given)
            found = ours(given)
            loss = ops.sum(ops.square(found))
        contract.close(found, expected.detach(), 1e-5)
        names = [v.path.split("/", 1)[1] for v in ours.weights]
        sources = [given, *(v.value for v in ours.weights)]
        gradients = tape.gradient(loss, sources)
        contract.close(gradients[0], theirs_x.grad, 1e-4)
        for name, gradient in zip(names, gradients[1:], strict=True):
            gradient = tf.convert_to_tensor(gradient)
            contract.close(gradient, pairs[name](True), 1e-4)


def peer_layer(name: str):
    """Ours, theirs with the same weights, and how theirs look in ours."""
    import torch
    import transformers

    sizes = {"hidden_size": HIDDEN, "intermediate_size": INNER}
    own, kind, block_of = {
        "mixtral": (
            {"num_local_experts": 5, "num_experts_per_tok": 2},
            "Mixtral",
            "SparseMoeBlock",
        ),
        "qwen3_moe": (
            {
                "num_experts": 5,
                "num_experts_per_tok": 2,
                "moe_intermediate_size": INNER,
                "norm_topk_prob": False,
            },
            "Qwen3Moe",
            "SparseMoeBlock",
        ),
        "gpt_oss": (
            {"num_local_experts": 5, "num_experts_per_tok": 2},
            "GptOss",
            "MLP",
        ),
    }[name]
    config = getattr(transformers, f"{kind}Config")(**sizes, **own)
    config._experts_implementation = "eager"
    module = importlib.import_module(
        f"transformers.models.{name}.modeling_{name}"
    )
    torch.manual_seed(0)
    block = getattr(module, f"{kind}{block_of}")(config)
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    with_biases = name == "gpt_oss"
    layer = MixtureOfExperts(
        5,
        2,
        INNER,
        kind="clamped_swiglu" if with_biases else "swiglu",
        use_bias=with_biases,
        router_bias=with_biases,
        normalize=name != "qwen3_moe",
    )
    layer.build((None, HIDDEN))
    pairs = peer_weights(block, with_biases)
    for variable in layer.weights:
        variable.assign(pairs[variable.path.split("/", 1)[1]](False))
    return layer, block, pairs


def peer_weights(block, with_biases: bool) -> dict:
    """Our names -> their values, or gradients, in our shapes."""

    def read(module, name, change=lambda x: x):
        parameter = getattr(module, name)

        def value(gradient: bool) -> np.ndarray:
            found = parameter.grad if gradient else parameter
            return change(found.detach().numpy())

        return value

    experts = block.experts
    router = block.router if with_biases else block.gate
    found = {"router/kernel": read(router, "weight", np.transpose)}
    if with_biases:  # gate and up lie alternately, inputs first
        return found | {
            "router/bias": read(router, "bias"),
            "gate": read(experts, "gate_up_proj", lambda x: x[..., ::2]),
            "up": read(experts, "gate_up_proj", lambda x: x[..., 1::2]),
            "gate_bias": read(
                experts, "gate_up_proj_bias", lambda x: x[..., ::2]
            ),
            "up_bias": read(
                experts, "gate_up_proj_bias", lambda x: x[..., 1::2]
            ),
            "down": read(experts, "down_proj"),
            "down_bias": read(experts, "down_proj_bias"),
        }

    def turned(x):
        return np.transpose(x, (0, 2, 1))

    return found | {
        "gate": read(experts, "gate_up_proj", lambda x: turned(x[:, :INNER])),
        "up": read(experts, "gate_up_proj", lambda x: turned(x[:, INNER:])),
        "down": read(experts, "down_proj", turned),
    }
