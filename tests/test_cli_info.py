"""keras-llm info: presets, saved models, published folders, and near names."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from keras_llm import zoo
from keras_llm.cli.app import app
from keras_llm.cli.info import describe, memory_table, parameter_facts
from keras_llm.config import DecoderConfig, Experts, Rope
from keras_llm.estimate import count_parameters, weight_bytes

SMALL = dict(
    vocabulary_size=300,
    context_length=32,
    num_layers=2,
    hidden_dim=16,
    num_heads=2,
)


def info(*words: str):
    runner = CliRunner(env={"COLUMNS": "120"})
    return runner.invoke(app, ["info", *words])


def cells(table) -> dict[str, list[str]]:
    return {str(c.header): list(c.cells) for c in table.columns}


def test_a_preset_is_shown_with_its_numbers():
    shown = info("gpt2").output
    for part in ("124,439,808", "openai-community/gpt2", "mit", "50,257"):
        assert part in shown


@pytest.mark.parametrize("name", zoo.list())
def test_every_preset_has_a_page(name):
    answer = info(name)
    assert answer.exit_code == 0, answer.output
    total = count_parameters(zoo.config(name)).total
    assert f"{total:,}" in answer.output


@pytest.mark.parametrize("name", ["GPT2-XL", "openai-community/gpt2-xl"])
def test_a_preset_goes_by_its_name_on_the_hub_too(name):
    assert describe(name) == describe("gpt2-xl")


def test_memory_at_each_precision():
    config = DecoderConfig(**SMALL)
    table = cells(memory_table(config, 16))
    assert table["precision"] == ["float32", "bfloat16", "int8", "int4"]
    for precision, shown in zip(
        table["precision"], table["to load"], strict=True
    ):
        size = weight_bytes(config, precision) / 1e6
        assert shown == f"{size:.2f} MB"
    train = table["to train on 16 tokens"]
    assert train[2:] == ["-", "-"] and "-" not in train[:2]
    cache = 2 * 2 * 16 * 1000 * 4 / 1e6
    assert table["cache per 1,000 tokens"][0] == f"{cache:.2f} MB"


def test_experts_show_what_is_active():
    config = DecoderConfig(**SMALL, experts=Experts(count=4, top_k=1))
    facts = parameter_facts(config, 16)
    assert facts["active for a token"] != facts["parameters"]
    assert "active for a token" not in parameter_facts(
        DecoderConfig(**SMALL), 16
    )


def test_a_window_shows_what_a_rolling_cache_would_take():
    config = DecoderConfig(**SMALL, pattern="LG", window=4)
    name = "cache if windows rolled"
    assert parameter_facts(config, 16)[name] == "0.00 MB"
    assert name not in parameter_facts(config, 4)


def test_a_published_folder_is_read(tmp_path):
    family = zoo.find_family("llama")
    config = DecoderConfig(
        **SMALL, rope=Rope(theta=5000.0), tie_embeddings=False
    )
    values = family.to_hugging_face(config)
    (tmp_path / "config.json").write_text(json.dumps(values))
    assert describe(str(tmp_path)).config == config
    shown = info(str(tmp_path)).output
    assert "llama" in shown and "theta=5000.0" in shown


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("gtp2",), "gpt2"),
        (("gpt2-xxl",), "gpt2-xl"),
        (("no/where",), "Received: 'no/where', which is neither"),
        (("openai/gpt2-xl",), "gpt2-xl"),
        (("gpt2", "--tokens", "0"), "at least 1"),
    ],
)
def test_a_mistake_is_a_sentence(words, said):
    answer = info(*words)
    assert answer.exit_code == 2
    assert said in answer.stderr and "Traceback" not in answer.output


def test_a_folder_without_a_model_and_a_damaged_file(tmp_path):
    assert info(str(tmp_path)).exit_code == 2
    (tmp_path / "decoder.json").write_text(
        json.dumps(DecoderConfig(**SMALL).to_dict())
    )
    assert info(str(tmp_path)).exit_code == 0
    (tmp_path / "tokenizer.json").write_text("{")
    answer = info(str(tmp_path))
    assert answer.exit_code == 2 and "tokenizer.json" in answer.stderr


def test_tensorflow_is_not_waited_for():
    script = """
import sys
from keras_llm.cli import main
try:
    main(["info", "gpt2"])
except SystemExit as end:
    heavy = {"tensorflow", "keras", "torch", "transformers"}
    print(end.code, sorted(heavy & set(sys.modules)))
"""
    answer = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.splitlines()[-1] == "0 []"
