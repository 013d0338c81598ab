"""Plans: FLOPs beside TensorFlow's profiler, memory beside limited processes.

`benchmarks/memory.py` has the ten configurations around 4 GB; three small
ones of it run here.
"""

import importlib.util
import json
import math
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from contract import CONFIGS
from sources import ROOT
from tensorflow.python.profiler import model_analyzer
from tensorflow.python.profiler.option_builder import ProfileOptionBuilder
from typer.testing import CliRunner

from keras_llm.cli.app import app
from keras_llm.cli.estimate import strategy_of, tokens_of
from keras_llm.config import DecoderConfig
from keras_llm.errors import InputError
from keras_llm.estimate import count_parameters
from keras_llm.estimate_flops import flops
from keras_llm.estimate_levers import levers
from keras_llm.estimate_memory import memory_per_device, part_of
from keras_llm.estimate_plan import plan
from keras_llm.estimate_setup import Setup
from keras_llm.hardware import (
    DEVICES,
    REGIONS,
    carbon_intensity,
    find_hardware,
)
from keras_llm.layers import dispatch_by
from keras_llm.model import build_decoder
from keras_llm.train import TokenTrainer, optimizer

ROWS, TIME = 2, 12
SMALL = DecoderConfig(
    vocabulary_size=300,
    context_length=32,
    num_layers=2,
    hidden_dim=16,
    num_heads=2,
)
GPT2 = DecoderConfig(
    vocabulary_size=50257,
    context_length=1024,
    num_layers=12,
    hidden_dim=768,
    num_heads=12,
)


def step_graph(config: DecoderConfig, remat: bool = False) -> tf.Graph:
    """The graph of loss and gradients of a batch; experts all at work."""
    trainer = TokenTrainer(build_decoder(config, remat=remat))

    def gradients(tokens, targets, weights):
        ones = tf.ones_like(tokens)
        inputs = {"tokens": tokens, "positions": ones, "segments": ones}
        with dispatch_by("turns"):
            return trainer._gradients((inputs, targets, weights), 1.0)

    integers = tf.TensorSpec((ROWS, TIME), "int32")
    floats = tf.TensorSpec((ROWS, TIME), "float32")
    function = tf.function(gradients, autograph=False)
    return function.get_concrete_function(integers, integers, floats).graph


def profiled(graph: tf.Graph) -> dict[str, int]:
    """FLOPs by kind of operation, as TensorFlow's profiler counts them."""
    options = ProfileOptionBuilder(ProfileOptionBuilder.float_operation())
    profile = model_analyzer.profile(
        graph, options=options.with_empty_output().build(), cmd="op"
    )
    found, nodes = {}, [profile]
    while nodes:
        node = nodes.pop()
        found[node.name] = node.float_ops
        nodes.extend(node.children)
    return found


def batched(graph: tf.Graph) -> int:
    """FLOPs of batched products, by their shapes.

    The profiler looks for `transpose_a`, which these call `adj_x`, so it
    multiplies by the wrong axis.
    """
    total = 0
    for node in graph.get_operations():
        if node.type == "BatchMatMulV2":
            inner = node.inputs[0].shape[-2 if node.get_attr("adj_x") else -1]
            total += 2 * inner * math.prod(node.outputs[0].shape)
    return total


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "name", ["gpt2", "llama", "gemma2", "neox", "qwen3", "gpt_oss", "mixtral"]
)
def test_flops_of_a_step_are_those_of_the_profiler(name):
    config = CONFIGS[name]
    if config.experts:  # "turns" has every expert see every token
        count = config.experts.count
        experts = {**config.experts.to_dict(), "top_k": count}
        config = config.replace(experts=experts)
    graph = step_graph(config)
    found = flops(config, TIME)
    attention = 3 * ROWS * TIME * found.attention
    assert batched(graph) == attention
    products = profiled(graph)["MatMul"]
    assert products + attention == ROWS * TIME * found.training()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_profiler_agrees_on_attention_where_its_axes_are_equal():
    config = CONFIGS["gpt2"].replace(head_dim=TIME)
    products = profiled(step_graph(config))
    assert products["BatchMatMulV2"] == (
        3 * ROWS * TIME * flops(config, TIME).attention
    )


def test_only_experts_that_a_token_sees_cost_flops():
    one, all_ = (
        CONFIGS["gpt_oss"].replace(experts={"count": 4, "top_k": k})
        for k in (1, 4)
    )
    widths = [3 * c.hidden_dim * c.mlp_dim * c.num_layers for c in (one, all_)]
    assert flops(all_).blocks - flops(one).blocks == 2 * 3 * widths[0]


@pytest.mark.parametrize("name", ["adamw", "muon", "lion", "schedule_free"])
@pytest.mark.parametrize("state", ["float32", "bfloat16"])
def test_weights_and_optimizer_are_exact(name, state):
    model = build_decoder(SMALL)
    kwargs = {} if state == "float32" else {"state_dtype": state}
    made = optimizer(name, 1e-3, **kwargs)
    made.build(model.trainable_variables)
    size = {"float32": 4, "bfloat16": 2}
    held = sum(
        int(np.prod(v.shape)) * size[v.dtype]
        for v in made.variables
        if len(v.shape) and v.dtype in size  # no counters, no seeds
    )
    memory = memory_per_device(
        SMALL, Setup(optimizer=name, optimizer_state=state)
    )
    assert memory.optimizer == held
    assert memory.weights == 4 * model.count_params()


def test_fsdp_and_model_parallel_cut_what_is_large():
    whole = memory_per_device(SMALL, Setup(batch_size=8))
    for setup in (
        Setup(batch_size=8, devices=4, strategy="fsdp"),
        Setup(batch_size=8, devices=4, strategy="model_parallel", model_axis=4),
    ):
        part = memory_per_device(SMALL, setup)
        vectors = 4 * 16 * (2 * SMALL.num_layers + 1)
        assert part.weights == (whole.weights - vectors) // 4 + vectors
        assert part.activations + part.logits < whole.activations + whole.logits
    copies = Setup(batch_size=8, devices=4, strategy="data_parallel")
    assert memory_per_device(SMALL, copies).weights == whole.weights
    assert part_of("a/bias", (8,), Setup(devices=8, strategy="fsdp")) == 8


@pytest.mark.parametrize(
    "change",
    [
        {"accumulate": 4},
        {"remat": True},
        {"precision": "mixed_bfloat16"},
        {"loss_chunk": 64},
        {"optimizer": "lion"},
    ],
)
def test_levers_save_memory(change):
    setup = Setup(batch_size=8, precision="float32", loss_chunk=None)
    held = memory_per_device(GPT2, setup).total
    assert memory_per_device(GPT2, setup.replace(**change)).total < held


def test_levers_go_on_until_it_fits():
    setup = Setup(batch_size=256, devices=8, strategy="data_parallel")
    found = list(levers(GPT2, DEVICES["t4"], setup))
    assert [lever.fits for lever in found].index(True) == len(found) - 1
    sizes = [lever.memory for lever in found]
    assert sizes == sorted(sizes, reverse=True)
    assert list(levers(SMALL, DEVICES["t4"], Setup())) == []


def test_time_energy_and_price_are_arithmetic():
    device = DEVICES["a100-40"]
    setup = Setup(batch_size=64, devices=4, strategy="fsdp")
    found = plan(GPT2, device, setup, 10**9, mfu=0.5, carbon=100.0, price=2.0)
    total = 3 * flops(GPT2).forward * 1e9
    hours = total / (4 * 312e12 * 0.5) / 3600
    assert found.total_flops == total
    assert found.days == pytest.approx(hours / 24)
    assert found.price == pytest.approx(hours * 4 * 2)
    assert found.kilowatt_hours == pytest.approx(hours * 4 * 0.4)
    assert found.kilograms_co2 == pytest.approx(hours * 4 * 0.4 * 0.1)
    assert found.steps == math.ceil(1e9 / (64 * 1024))
    assert found.seconds_per_step * 1e9 / (64 * 1024) == pytest.approx(
        found.days * 86400
    )
    assert found.optimal_tokens == 20 * count_parameters(GPT2).total
    assert found.checkpoint == 12 * count_parameters(GPT2).total


def test_what_a_maker_does_not_say_is_not_made_up():
    found = plan(GPT2, DEVICES["v5e"], Setup(), 10**9, price=1.0)
    assert found.kilowatt_hours is None and found.kilograms_co2 is None
    assert found.price is not None


def test_names_of_hardware():
    assert find_hardware("rtx4090")[1] == 1
    assert find_hardware("RTX4090x2")[1] == 2
    assert find_hardware("tpu-v5px64") == (DEVICES["v5p"], 64)
    for name in ("h1000", "h100x0", "h100x"):
        with pytest.raises(InputError, match="Expected"):
            find_hardware(name)
    assert carbon_intensity("Norway") == REGIONS["norway"]
    with pytest.raises(InputError, match="region"):
        carbon_intensity("atlantis")
    assert all(device.source for device in DEVICES.values())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--hardware", "h100x8", "--strategy", "single"), "one device"),
        (
            ("--hardware", "h100x8", "--strategy", "model_parallel")
            + ("--mesh", "4x3"),
            "8x1",
        ),
        (("--hardware", "l4x8", "--mesh", "4x2"), "model_parallel only"),
        (
            ("--hardware", "l4x8", "--strategy", "model_parallel"),
            "12 heads",
        ),
        (("--hardware", "t4", "--precision", "mixed_bfloat16"), "multiplies"),
        (("--hardware", "l4", "--mfu", "2"), "mfu"),
        (("--hardware", "l4", "--tokens", "many"), "10B"),
        (
            ("--hardware", "l4", "--batch-size", "3", "--accumulate", "2"),
            "divide",
        ),
    ],
)
def test_a_mistake_is_a_sentence(words, said):
    answer = CliRunner().invoke(app, ["estimate", "gpt2", *words])
    assert answer.exit_code == 2 and said in answer.stderr


def test_the_verb_shows_tables_and_json(tmp_path):
    GPT2.save(tmp_path / "mine.json")
    words = ["estimate", str(tmp_path / "mine.json"), "--hardware", "l4x2"]
    runner = CliRunner(env={"COLUMNS": "100"})
    shown = runner.invoke(app, [*words, "--batch-size", "64"])
    assert shown.exit_code == 0, shown.output
    assert "does not fit" in shown.output and "--accumulate" in shown.output
    answer = runner.invoke(app, [*words, "--batch-size", "4", "--json"])
    values = json.loads(answer.stdout)
    assert values["plan"]["fits"] is True
    assert values["plan"]["parameters"]["total"] == count_parameters(GPT2).total
    names = {row["strategy"] for row in values["strategies"]}
    assert names >= {"data_parallel", "mirrored", "fsdp", "model_parallel 1x2"}


def test_numbers_and_meshes():
    assert tokens_of("1.5b") == 1_500_000_000
    assert strategy_of("fsdp", None, 4) == ("fsdp", 1)
    assert strategy_of("model_parallel", "1x4", 4) == ("model_parallel", 4)


def test_nothing_heavy_is_imported():
    script = (
        "import keras_llm.estimate_plan, sys; print(sorted("
        "{'tensorflow', 'keras', 'numpy'} & set(sys.modules)))"
    )
    words = [sys.executable, "-c", script]
    answer = subprocess.run(words, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["small", "small, bfloat16", "small, 50k ids"])
def test_whether_a_step_fits_is_decided_correctly(name):
    spec = importlib.util.spec_from_file_location(
        "memory", ROOT / "benchmarks" / "memory.py"
    )
    memory = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(memory)
    limit, case = 1.9e9, memory.SMALL[name]
    guess = memory.estimated(case)
    answer = memory.measured(case, limit)
    assert answer["fits"] == (guess <= limit)
    if answer["fits"]:
        base = answer["base"]
        held = answer["peak"] - base
        assert guess - memory.PROCESS == pytest.approx(held, rel=0.15)
