"""Families and presets: what a config.json says, or a refusal by name."""

import json
from pathlib import Path

import pytest
from contract import CONFIGS
from peers import unpack_golden
from published_configs import PUBLISHED

from keras_llm import InputError, zoo
from keras_llm.model import build_decoder
from keras_llm.tokenizers.chat import TEMPLATES
from keras_llm.tokenizers.pretokenize import split_rule

GPT2, LLAMA = zoo.find_family("gpt2"), zoo.find_family("llama")

PUBLISHED_GPT2, PUBLISHED_LLAMA = PUBLISHED["gpt2"], PUBLISHED["llama-3.1-8b"]


def llama(**changes) -> dict:
    return PUBLISHED_LLAMA | changes


def rope(form: dict | None, **changes):
    """The rotary positions that a llama's config.json means."""
    values = llama(rope_scaling=None, rope_parameters=form, **changes)
    return LLAMA.from_hugging_face(values).rope


def refuses(call, *words: str) -> None:
    with pytest.raises(InputError) as caught:
        call()
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_config_json_is_the_preset(name):
    family = zoo.find_family(PUBLISHED[name]["model_type"])
    assert name in family.presets
    assert family.from_hugging_face(PUBLISHED[name]) == zoo.config(name)


def test_the_published_llama():
    config = LLAMA.from_hugging_face(PUBLISHED_LLAMA)
    assert (config.mlp, config.norm, config.bias) == ("swiglu", "rms", "none")
    assert (config.num_kv_heads, config.head_dim) == (8, 128)
    assert config.context_length == 131072 and not config.tie_embeddings
    assert config.rope.scaling == "llama3" and config.rope.theta == 5e5
    assert config.rope.original_context == 8192
    # Its 8,030,261,248 parameters.
    heads = (config.num_heads + config.num_kv_heads) * 2 * config.head_dim
    block = config.hidden_dim * (heads + 3 * config.mlp_dim + 2)
    table = config.vocabulary_size * config.hidden_dim
    total = 2 * table + config.num_layers * block + config.hidden_dim
    assert total == 8_030_261_248


def test_own_sizes():
    assert zoo.list()[:3] == ("tiny", "mini", "small")
    for rows in (4096, 8192):
        model = build_decoder(zoo.config("tiny", vocabulary_size=rows))
        assert 1e6 < model.count_params() < 2e6
    changed = zoo.config("mini", vocabulary_size=99, context_length=64)
    assert (changed.vocabulary_size, changed.context_length) == (99, 64)


@pytest.mark.parametrize("name", zoo.list())
def test_each_preset_survives_a_config_json(name):
    config = zoo.config(name)
    own = (f for f in zoo.families() if name in f.presets)
    family = next(own, LLAMA)  # our own sizes are Llama's
    values = json.loads(json.dumps(family.to_hugging_face(config)))
    assert family.from_hugging_face(values) == config


@pytest.mark.parametrize("name", ["gemma-3-270m", "gpt-oss-20b", "gemma-2-2b"])
def test_a_size_with_fewer_layers_than_its_pattern(name):
    little = zoo.config(name, num_layers=1)
    own = next(f for f in zoo.families() if name in f.presets)
    again = own.from_hugging_face(own.to_hugging_face(little))
    assert again.layer_kinds == little.layer_kinds


@pytest.mark.parametrize("name", ["llama", "llama3", "yarn", "linear"])
def test_each_kind_of_llama_survives_a_config_json(name):
    config = CONFIGS[name]
    values = json.loads(json.dumps(LLAMA.to_hugging_face(config)))
    assert LLAMA.from_hugging_face(values) == config


@pytest.mark.parametrize("family", zoo.families(), ids=lambda f: f.name)
def test_families_name_things_that_exist(family):
    if family.tokenizer.pattern is not None:
        split_rule(family.tokenizer.pattern)
    assert zoo.find_family(family.model_type) is family
    keys = [key for rule in family.rules for key in rule.keys]
    assert not set(keys) & {*family.unused, *family.fixed}
    theirs = [row.theirs for row in family.weights.rows]
    assert len(set(theirs)) == len(theirs)
    assert {name for _, name in family.weights.copies} <= set(theirs)


@pytest.mark.parametrize("family", zoo.families(), ids=lambda f: f.name)
def test_sizes_say_where_they_are_and_how_they_talk(family):
    repos = [size.repo for size in family.presets.values()]
    assert len({*repos}) == len(repos) > 0
    for size in family.presets.values():
        assert "/" in size.repo and size.license
        assert size.chat is None or size.chat in TEMPLATES
    assert family.chat is None or family.chat in TEMPLATES


def test_every_preset_has_one_family():
    names = [name for family in zoo.families() for name in family.presets]
    assert len({*names}) == len(names) == len(zoo.list()) - 3


def test_unknown_names_are_answered_with_near_ones():
    refuses(lambda: zoo.config("gpt2-midium"), "gpt2-medium", "Did you mean")
    refuses(lambda: zoo.find_family("lama"), "llama", "Did you mean")
    refuses(lambda: zoo.config(None), "None")  # type: ignore[arg-type]
    refuses(lambda: zoo.config("tiny", hiden_dim=3), "hiden_dim")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            dict(sliding_window=4096, qk_norm=True),
            ("sliding_window=4096", "qk_norm=True", "nothing was loaded"),
        ),
        (dict(quantization_config={"bits": 4}), ("quantization_config",)),
        (dict(attention_dropout=0.1), ("attention_dropout=0.1", "only 0")),
        (dict(model_type="mistral"), ("model_type='mistral'", "'llama'")),
        (dict(hidden_act="relu"), ("hidden_act", "'silu'", "'relu'")),
        (dict(tie_word_embeddings="no"), ("tie_word_embeddings", "'no'")),
        (dict(vocab_size=None), ("Expected vocab_size",)),
        (dict(hidden_size="4096"), ("hidden_dim", "'4096'")),
        (
            dict(attention_bias=True),
            ("attention_bias=True", "mlp_bias=False", "one setting"),
        ),
    ],
)
def test_what_is_not_understood_is_refused_by_name(changes, words):
    refuses(lambda: LLAMA.from_hugging_face(llama(**changes)), *words)


def test_dropouts_that_differ_are_refused():
    values = PUBLISHED_GPT2 | {"attn_pdrop": 0.0}
    refuses(lambda: GPT2.from_hugging_face(values), "attn_pdrop=0.0")


def test_scores_scaled_by_depth_are_refused():
    values = PUBLISHED_GPT2 | {"scale_attn_by_inverse_layer_idx": True}
    refuses(lambda: GPT2.from_hugging_face(values), "inverse_layer_idx=True")


# Preset whose published file is changed, the changes, words of the refusal.
REFUSED = [
    ("mistral-7b-v0.1", dict(num_key_value_heads=None), ("num_key_value",)),
    ("mistral-7b-v0.1", dict(layer_types=[]), ("layer_types=[]",)),
    ("qwen2.5-0.5b", dict(layer_types=["full_attention"]), ("24 layers", "1")),
    ("qwen2.5-0.5b", dict(layer_types=24), ("to be a list", "24")),
    (
        "qwen2.5-0.5b",
        dict(layer_types=["linear_attention"] * 24),
        ("sliding_attention", "linear_attention"),
    ),
    ("qwen2.5-0.5b", dict(use_mrope=True), ("use_mrope=True",)),
    ("qwen3-0.6b", dict(attention_bias=True), ("attention_bias=True",)),
    ("qwen3-30b-a3b", dict(num_local_experts=64), ("=128", "=64", "two names")),
    ("qwen3-30b-a3b", dict(mlp_only_layers=[0]), ("mlp_only_layers=[0]",)),
    ("qwen3-30b-a3b", dict(decoder_sparse_step=2), ("sparse_step=2", "only 1")),
    ("qwen3-30b-a3b", dict(num_experts_per_tok=None), ("num_experts_per",)),
    ("qwen3-30b-a3b", dict(num_experts_per_tok=999), ("top_k=999",)),
    ("mixtral-8x7b", dict(router_jitter_noise=0.1), ("jitter_noise=0.1",)),
    ("mixtral-8x7b", dict(rms_norm_eps=None), ("rms_norm_eps",)),
    ("smollm3-3b", dict(use_sliding_window=True), ("use_sliding_window",)),
    ("smollm3-3b", dict(no_rope_layers=[1, 0]), ("36 layers", "[1, 0]")),
    ("smollm3-3b", dict(no_rope_layers=[2] * 36), ("0 or 1",)),
    ("smollm3-3b", dict(no_rope_layers=3), ("0 or 1", "3 and")),
    (
        "smollm3-3b",
        dict(layer_types=["sliding_attention"] * 36),
        ("no windows", "sliding_attention"),
    ),
    ("pythia-70m", dict(attention_bias=False), ("attention_bias=False",)),
    ("pythia-70m", dict(hidden_act="relu"), ("hidden_act", "'relu'")),
    (
        "pythia-70m",
        dict(hidden_dropout=0.1),
        ("hidden_dropout=0.1", "attention_dropout=None"),
    ),
]


@pytest.mark.parametrize(("name", "changes", "words"), REFUSED)
def test_a_changed_published_file_is_refused_by_name(name, changes, words):
    values = PUBLISHED[name] | changes
    family = zoo.find_family(values["model_type"])
    refuses(lambda: family.from_hugging_face(values), *words)


def kinds_of(name: str, **changes) -> tuple[str, int | None]:
    """The layers' kinds and the window in a changed published file."""
    values = PUBLISHED[name] | changes
    config = zoo.find_family(values["model_type"]).from_hugging_face(values)
    return config.pattern, config.window


def test_windows_are_where_the_keys_say():
    on = dict(use_sliding_window=True, sliding_window=99)
    assert kinds_of("qwen2.5-0.5b", max_window_layers=0) == ("G", None)
    assert kinds_of("qwen2.5-0.5b", **on) == ("G", None)  # from layer 24 on
    assert kinds_of("qwen2.5-0.5b", **on, max_window_layers=0) == ("L", 99)
    half = ("G" * 12 + "L" * 12, 99)
    assert kinds_of("qwen2.5-0.5b", **on, max_window_layers=12) == half
    listed = ["sliding_attention", "full_attention"] * 12
    assert kinds_of("qwen2.5-0.5b", **on, layer_types=listed) == ("LG", 99)
    assert kinds_of("qwen3-30b-a3b", **on) == ("L", 99)
    assert kinds_of("mistral-7b-v0.1", sliding_window=None) == ("G", None)
    every_third = dict(no_rope_layers=None, no_rope_layer_interval=3)
    assert kinds_of("smollm3-3b", **every_third) == ("GGN", None)


def test_both_biases_are_ours():
    values = llama(attention_bias=True, mlp_bias=True)
    assert LLAMA.from_hugging_face(values).bias == "all"


def test_both_forms_of_rope_say_the_same():
    scaling = PUBLISHED_LLAMA["rope_scaling"]
    old = LLAMA.from_hugging_face(PUBLISHED_LLAMA).rope
    assert rope({**scaling, "rope_theta": 5e5}, rope_theta=None) == old
    oldest = {"type": "linear", "factor": 2.0}
    assert rope(oldest).scaling == "linear"


def test_the_context_stands_for_a_missing_original_one():
    form = {"rope_type": "yarn", "factor": 4.0}
    assert rope(form).original_context == 131072


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"rope_type": "dynamic", "factor": 2.0}, ("rope_type", "dynamic")),
        ({"rope_type": "linear"}, ("missing: factor",)),
        ({"rope_type": "default", "factor": 2.0}, ("factor=2.0",)),
        (
            {"rope_type": "yarn", "factor": 2.0, "mscale_all_dim": 0.5},
            ("mscale_all_dim=0.5",),
        ),
        (
            {"rope_type": "yarn", "factor": 2.0, "mscale": 0.7},
            ("mscale=0.7",),
        ),
        ({"partial_rotary_factor": 0.5}, ("partial_rotary_factor=0.5",)),
        ({"rope_theta": 1.0}, ("rope_theta", "1.0", "500000.0")),
        ({"rope_type": "linear", "type": "yarn"}, ("linear", "yarn")),
        ("linear", ("an object or null", "'linear'")),
    ],
)
def test_rope_that_is_not_understood_is_refused_by_name(form, words):
    refuses(lambda: rope(form), *words)


@pytest.mark.parametrize(
    ("family", "name", "word"),
    [
        (LLAMA, "qwen3", "qk_norm"),
        (LLAMA, "qwen2", "bias"),
        (LLAMA, "mistral", "window"),
        (LLAMA, "gpt2", "mlp"),
        (LLAMA, "neox", "mlp"),
        (GPT2, "neox", "rope"),
        (GPT2, "llama", "swiglu"),
        (LLAMA, "smollm3", "pattern"),
        (LLAMA, "mixtral", "experts"),
        (zoo.find_family("mixtral"), "mistral", "experts=None"),
        (zoo.find_family("mixtral"), "qwen3_moe", "qk_norm"),
        (zoo.find_family("mistral"), "smollm3", "pattern"),
        (zoo.find_family("mistral"), "olmo2", "post_norm"),
        (zoo.find_family("qwen2"), "llama", "bias"),
        (zoo.find_family("smollm3"), "mistral", "pattern"),
        (zoo.find_family("gpt_neox"), "gpt2", "rope=None"),
    ],
)
def test_a_config_that_a_family_cannot_say(family, name, word):
    refuses(lambda: family.to_hugging_face(CONFIGS[name]), word)


def test_a_family_is_frozen():
    with pytest.raises(AttributeError):
        LLAMA.name = "other"  # type: ignore[misc]


@pytest.fixture
def folder(tmp_path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    unpack_golden("llama", "tied", folder)
    return folder


def test_a_hub_name_is_told_apart_from_a_folder():
    refuses(
        lambda: zoo.load_hugging_face("openai-community/gpt2"),
        "not downloaded",
        "hf download openai-community/gpt2",
    )


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (None, "Received: model.safetensors"),
        ("{", "damaged"),
        ("[]", "Received: list"),
        ("{}", "Expected a family"),
        ('{"model_type": "mamba"}', "'mamba'"),
        ('{"model_type": ["llama"]}', "['llama']"),
    ],
)
def test_a_config_json_that_cannot_be_used(folder, text, word):
    (folder / "config.json").unlink()
    if text is not None:
        (folder / "config.json").write_text(text)
    refuses(lambda: zoo.load_hugging_face(folder), word)


def test_saving_replaces_only_what_it_wrote(folder):
    model = zoo.load_hugging_face(folder)
    zoo.save_hugging_face(model, folder, LLAMA)
    (folder / "notes.txt").write_text("mine")
    refuses(lambda: zoo.save_hugging_face(model, folder, LLAMA), "notes.txt")
    assert (folder / "notes.txt").read_text() == "mine"


def test_a_failed_save_leaves_the_previous_folder(folder, monkeypatch):
    model = zoo.load_hugging_face(folder)
    before = {path: path.read_bytes() for path in folder.iterdir()}

    def full(*_):
        raise OSError("disk full")

    monkeypatch.setattr("keras_llm.zoo.folder.write_text", full)
    with pytest.raises(OSError, match="disk full"):
        zoo.save_hugging_face(model, folder, "llama")
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    assert list(folder.parent.iterdir()) == [folder]


def test_the_dtype_is_chosen_at_load(folder):
    model = zoo.load_hugging_face(folder, "bfloat16")
    assert {str(w.dtype) for w in model.weights} == {"bfloat16"}
