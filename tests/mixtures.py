"""Mixtures of experts to test, by what is special about them."""

import contract
import numpy as np

from keras_llm.layers import MixtureOfExperts

WAYS = ("blocks", "slices", "turns")
HIDDEN, INNER = 16, 24
SETTINGS = {
    "mixtral": {"count": 4, "top_k": 2},
    "one_of_many": {"count": 13, "top_k": 1, "normalize": False},
    "all": {"count": 3, "top_k": 3, "kind": "geglu"},
    "plain": {"count": 4, "top_k": 2, "kind": "gelu", "use_bias": True},
    "gpt_oss": {
        "count": 6,
        "top_k": 4,
        "kind": "clamped_swiglu",
        "use_bias": True,
        "router_bias": True,
    },
    "shared": {"count": 4, "top_k": 2, "shared": 2, "normalize": False},
}


def mixture(name: str, **changes) -> MixtureOfExperts:
    """A layer whose every weight matters."""
    layer = MixtureOfExperts(inner_dim=INNER, **SETTINGS[name], **changes)
    layer.build((None, HIDDEN))
    contract.scramble(layer)
    return layer


def rows_of(count: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.normal(size=(count, HIDDEN)).astype("float32")
