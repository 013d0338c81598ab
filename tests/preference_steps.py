"""A few steps of each loss of preferences, on the backend of KERAS_BACKEND.

`python tests/preference_steps.py` prints, as JSON, the loss after three steps
from the same weights.
"""

import json

import numpy as np

KINDS = ("kto", "orpo")


def language_model(tokenizer):
    """A model whose weights do not depend on the backend."""
    import keras_llm as kl

    decoder = kl.build_decoder(
        kl.DecoderConfig(
            vocabulary_size=261,
            context_length=32,
            num_layers=1,
            hidden_dim=16,
            num_heads=2,
        )
    )
    rng = np.random.default_rng(0)
    for weight in decoder.weights:
        weight.assign(1.0 / 8 + rng.normal(0, 0.1, weight.shape))
    return kl.CausalLM(decoder, tokenizer)


def losses():
    """Loss by kind."""
    from keras_llm import tune
    from keras_llm.tokenizers import HostTokenizer

    tokenizer = HostTokenizer.train(["a"], 261, progress=False)
    pairs = [
        tune.Pair(tune.exchange(f"q{i}"), "yes", "no way") for i in range(4)
    ]
    settings = {
        "steps": 3,
        "batch_size": 4,
        "learning_rate": 1e-2,
        "template": "plain",
        "validation": pairs[:3],
    }
    found = {}
    for kind in KINDS:
        lm = language_model(tokenizer)
        report = tune.prefer(lm, pairs, kind=kind, **settings)
        found[kind] = report.validation_loss
    return found


if __name__ == "__main__":
    print(json.dumps(losses()))
