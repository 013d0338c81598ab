"""A config.json means here what it means to `transformers`, key by key.

Each key of each tiny model's config.json is left out, and set to null. What
is read here must be what is read there, or be refused: no default of theirs
is taken for another one in silence.
"""

import json
from collections.abc import Iterator

import pytest
from families import FAMILIES

from keras_llm import InputError, zoo
from keras_llm.zoo.dialect import meaning

transformers = pytest.importorskip("transformers")

ENDS = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"))


def written(family: str, variant: str) -> list[dict]:
    """The content of config.json as `transformers` and as we write it."""
    theirs = transformers.AutoConfig.for_model(
        family, **ENDS, **FAMILIES[family][variant]
    )
    values = json.loads(theirs.to_json_string())
    ours = zoo.find_family(family)
    again = ours.to_hugging_face(ours.from_hugging_face(values))
    return [values, json.loads(json.dumps(again))]


def filled_in(values: dict) -> dict:
    """All keys, with the defaults of `transformers`."""
    kind = type(transformers.AutoConfig.for_model(values["model_type"]))
    text = kind.from_dict(values).to_json_string(use_diff=False)
    return json.loads(text)


def damaged(values: dict) -> Iterator[tuple[str, dict]]:
    """Yields what is done to a key, and the values then."""
    for key in values:
        if key != "model_type":
            without = {k: v for k, v in values.items() if k != key}
            yield f"{key} missing", without
            yield f"{key} null", {**without, key: None}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_key_left_out_means_the_same_there(family):
    ours, compared = zoo.find_family(family), 0
    for variant in FAMILIES[family]:
        for start in written(family, variant):
            for what, values in damaged(start):
                try:
                    here = ours.from_hugging_face(values)
                except InputError:
                    continue
                try:
                    full = filled_in(values)
                except Exception:  # null where theirs wants a number
                    assert what.endswith("null"), (variant, what)
                    continue
                there = ours.from_hugging_face(full)
                assert meaning(here) == meaning(there), (variant, what)
                compared += 1
    assert compared > 20
