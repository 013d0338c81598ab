"""A model that also sees: its text part is read, and gives equal logits."""

import json

import numpy as np
import pytest
from families import FAMILIES
from peers import CONFIG, TOKENS, WEIGHTS, shapes_in, write_weights
from safetensors.numpy import load_file, save_file
from test_parity import live, same

from keras_llm import InputError, zoo

TEXT = {**FAMILIES["gemma3_text"]["grouped"], "tie_word_embeddings": True}
EYES = dict(
    hidden_size=8,
    intermediate_size=8,
    num_hidden_layers=1,
    num_attention_heads=2,
    image_size=8,
    patch_size=4,
)


@pytest.fixture(scope="module")
def seeing(tmp_path_factory):
    """A tiny Gemma 3 with eyes, and where it is saved."""
    import transformers

    folder = tmp_path_factory.mktemp("seeing")
    ends = dict(bos_token_id=None, eos_token_id=None, pad_token_id=None)
    config = transformers.Gemma3Config(
        text_config=TEXT | ends,
        vision_config=EYES,
        mm_tokens_per_image=4,
        image_token_index=47,
    )
    kind = transformers.Gemma3ForConditionalGeneration
    kind(config).save_pretrained(folder)
    write_weights(folder, shapes_in(folder))
    return kind.from_pretrained(folder, attn_implementation="eager"), folder


def renamed(source, folder, starts: dict[str, str]):
    """A copy whose tensors have names of another form."""
    tensors = load_file(source / WEIGHTS)
    for theirs, ours in starts.items():
        tensors = {
            ours + k.removeprefix(theirs) if k.startswith(theirs) else k: v
            for k, v in tensors.items()
        }
    folder.mkdir()
    save_file(tensors, folder / WEIGHTS, {"format": "pt"})
    (folder / CONFIG).write_text((source / CONFIG).read_text())
    return folder


@live
@pytest.mark.parametrize(
    "starts",
    [
        {},
        # As on the hub.
        {
            "model.language_model.": "language_model.model.",
            "model.vision_tower.": "vision_tower.",
            "model.multi_modal_projector.": "multi_modal_projector.",
        },
        # As `transformers` 5 has them in memory.
        {
            "language_model.model.": "model.language_model.",
            "vision_tower.": "model.vision_tower.",
            "multi_modal_projector.": "model.multi_modal_projector.",
        },
    ],
)
def test_the_text_part_of_a_larger_model(seeing, starts, tmp_path):
    theirs, source = seeing
    folder = renamed(source, tmp_path / "copy", starts)
    model = zoo.load_hugging_face(folder)
    tokens = TOKENS % 47  # the last id stands for an image
    same(model(tokens), text_logits(theirs, tokens))
    zoo.save_hugging_face(model, tmp_path / "text", "gemma3")
    saved = json.loads((tmp_path / "text" / CONFIG).read_text())
    assert saved["model_type"] == "gemma3_text" and "vision_config" not in saved
    again = zoo.load_hugging_face(tmp_path / "text")
    np.testing.assert_array_equal(again(tokens), model(tokens))


def text_logits(theirs, tokens):
    import torch

    with torch.no_grad():
        return theirs(torch.from_numpy(tokens).long()).logits.numpy()


# https://huggingface.co/google/gemma-3-4b-pt/blob/main/config.json
PUBLISHED = {
    "architectures": ["Gemma3ForConditionalGeneration"],
    "boi_token_index": 255999,
    "eoi_token_index": 256000,
    "eos_token_id": [1, 106],
    "image_token_index": 262144,
    "initializer_range": 0.02,
    "mm_tokens_per_image": 256,
    "model_type": "gemma3",
    "text_config": {
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "model_type": "gemma3_text",
        "num_hidden_layers": 34,
        "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
        "sliding_window": 1024,
    },
    "torch_dtype": "bfloat16",
    "transformers_version": "4.50.0.dev0",
    "vision_config": {
        "hidden_size": 1152,
        "image_size": 896,
        "intermediate_size": 4304,
        "model_type": "siglip_vision_model",
        "num_attention_heads": 16,
        "num_hidden_layers": 27,
        "patch_size": 14,
        "vision_use_head": False,
    },
}


def test_a_published_config_json_is_the_preset():
    family = zoo.find_family(PUBLISHED["model_type"])
    assert family.from_hugging_face(PUBLISHED) == zoo.config("gemma-3-4b")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ears": 2}, ("gemma3", "ears=2")),
        ({"quantization_config": {"bits": 4}}, ("quantization_config",)),
        ({"text_config": None}, ("text_config", "None")),
        (
            {"text_config": {**PUBLISHED["text_config"], "ears": 2}},
            ("ears=2",),
        ),
        ({"tie_word_embeddings": False}, ("tie_word_embeddings=False",)),
    ],
)
def test_what_is_not_understood_is_refused_by_name(changes, words):
    family = zoo.find_family("gemma3")
    with pytest.raises(InputError) as caught:
        family.from_hugging_face(PUBLISHED | changes)
    assert all(word in str(caught.value) for word in words)
