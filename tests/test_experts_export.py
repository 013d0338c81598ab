"""Experts with the cache, as SavedModel and on LiteRT."""

import contract
import numpy as np
import pytest

from keras_llm import DecoderConfig, Experts, build_decoder
from keras_llm.generate import TokenGenerator
from keras_llm.sampling import GenerationSettings


@pytest.mark.parametrize("name", ["mixtral", "gpt_oss", "shared_expert"])
def test_generates_what_the_uncached_model_says(name):
    model = contract.decoder(contract.CONFIGS[name].replace(num_layers=2))
    rows = [[1, 2, 3], [4, 5], [7]]
    settings = GenerationSettings(max_new_tokens=6)
    found = TokenGenerator(model).generate(rows, settings)
    for row, new in zip(rows, found, strict=True):
        text = list(row)
        for _ in range(6):
            text.append(int(np.argmax(model(np.array([text]))[0, -1])))
        assert new == text[len(row) :]


def test_saved_model_gives_the_same_text(tmp_path):
    from served_models import language_model

    from keras_llm.export import saved_model

    lm = language_model("mixtral", num_layers=1)
    saved_model(lm, tmp_path, max_new_tokens=8)  # compares with Keras


@pytest.mark.parametrize("name", ["mixtral", "gpt_oss"])
@pytest.mark.parametrize(
    "options",
    [{}, {"cache_length": 16, "prefill_lengths": (8,)}],
    ids=["growing", "fixed"],
)
def test_litert_gives_the_same_text(name, options, tmp_path):
    pytest.importorskip("ai_edge_litert", reason="needs the extra litert")
    from keras_llm.export import litert

    config = contract.CONFIGS[name].replace(num_layers=1)
    report = litert(
        contract.decoder(config), tmp_path / "model.tflite", **options
    )
    assert report.equal_text


def test_litert_stores_experts_in_int8(tmp_path):
    pytest.importorskip("ai_edge_litert", reason="needs the extra litert")
    from keras_llm.export import litert

    config = DecoderConfig(
        vocabulary_size=32,
        context_length=32,
        num_layers=1,
        hidden_dim=32,
        num_heads=2,
        mlp_dim=256,
        experts=Experts(count=8, top_k=2),
    )
    report = litert(
        build_decoder(config, "float32"),
        tmp_path / "model.tflite",
        quantization="int8",
    )
    assert report.bytes < 0.4 * report.float32_bytes
    assert abs(report.delta_nats) < 0.02
