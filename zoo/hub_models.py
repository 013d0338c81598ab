"""KerasHub's models <-> ours: equal logits, equal ids, both ways."""

import math
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_llm.config import DecoderConfig
from keras_llm.errors import InputError
from keras_llm.files import check_room, holds_only, new_folder
from keras_llm.progress import track
from keras_llm.weights import TRANSPOSED
from keras_llm.weights.table import Entry, entries_of, listing
from keras_llm.zoo.hub_family import HubFamily
from keras_llm.zoo.hub_rules import LENGTH
from keras_llm.zoo.hub_tables import family_of, hub_family
from keras_llm.zoo.hub_tokenizers import from_hub_tokenizer, to_hub_tokenizer

if TYPE_CHECKING:
    from keras_llm.causal_lm import CausalLM
    from keras_llm.model import Decoder

HEAD = "token_embedding/reverse_embeddings"
# KerasHub leaves these layers without a name; Keras counts them.
COUNTED = re.compile(r"(?<=sparse_moe_block)_\d+(?=/)")
WEIGHTS_FILE = "model.weights.h5"
MAIN_FILES = ("config.json", "metadata.json")
PRESET_FILES = (
    *(*MAIN_FILES, "task.json", "preprocessor.json", "tokenizer.json"),
    *("assets", WEIGHTS_FILE, "model.weights.json", "task.weights.h5"),
)


def from_keras_hub(
    source: Any,
    tokenizer: Any = None,
    *,
    context_length: int | None = None,
    dtype: Any = None,
) -> "CausalLM":
    """Returns a `CausalLM` that computes what a KerasHub model computes.

    Logits, ids and greedy text are equal; sampling draws other numbers. Both
    models are in memory until you let theirs go.

    Args:
        source: A `keras_hub.models.CausalLM`, a backbone of it, or a local
            folder that its `save_to_preset` wrote. Nothing is downloaded.
        tokenizer: A KerasHub tokenizer, for a source that has none.
        context_length: Longest sequence in tokens. Default: the model's own,
            or the `sequence_length` of its preprocessor, because most models
            of KerasHub have none.
        dtype: As in `build_decoder`. Default: the source's.

    Raises:
        InputError: KerasHub is not installed; the family, a setting or a
            weight is one that we do not know; or there is no tokenizer. The
            message names it, and nothing is half-loaded.

    Example:

    >>> from keras_llm import CausalLM, build_decoder, zoo
    >>> from keras_llm.tokenizers import BytePairTokenizer
    >>> tokenizer = BytePairTokenizer.train(["a rose is a rose"], 264)
    >>> config = zoo.config("gpt2", vocabulary_size=264, num_layers=1,
    ...     hidden_dim=8, num_heads=2, num_kv_heads=2, head_dim=4, mlp_dim=16)
    >>> lm = CausalLM(build_decoder(config), tokenizer)
    >>> again = from_keras_hub(to_keras_hub(lm, "gpt2"))
    >>> again.generate("a", max_new_tokens=2) == lm.generate("a",
    ...     max_new_tokens=2)
    True
    """
    from keras import ops

    from keras_llm.causal_lm import CausalLM
    from keras_llm.model import build_decoder
    from keras_llm.tokenizers.chat import TEMPLATES

    backbone, preprocessor = _parts(source)
    family = family_of(type(backbone).__name__)
    found = tokenizer or getattr(preprocessor, "tokenizer", None)
    if found is None:
        raise InputError(
            "Expected a KerasHub model with its preprocessor, or a tokenizer "
            f"beside it. Received: {type(source).__name__} alone. Pass "
            "tokenizer=keras_hub.models.Tokenizer.from_preset(...)."
        )
    length = context_length or getattr(preprocessor, LENGTH, None)
    config = _config_of(backbone, family, length)
    if context_length not in (None, config.context_length):
        raise InputError(
            f"Expected no context_length, because a {type(backbone).__name__} "
            f"has one of its own, {config.context_length}. Received: "
            f"{context_length}."
        )
    ours = from_hub_tokenizer(found, family)
    model = build_decoder(config, dtype or backbone.dtype_policy.name)
    pairs = _pairs(model, backbone, family)
    for entry, theirs in track(pairs, "converting weights", len(pairs)):
        values = ops.convert_to_numpy(theirs.value)
        parts = entry.layout.split(values, entry.shapes)
        for variable, value in zip(entry.variables, parts, strict=True):
            variable.assign(value)
    known = family.chat and not TEMPLATES[family.chat].missing_from(ours)
    chat = family.chat if known else None
    return CausalLM(model, ours, chat=chat)


def to_keras_hub(lm: "CausalLM", family: HubFamily | str) -> Any:
    """Returns a `keras_hub` CausalLM task that computes what ours computes.

    Args:
        lm: A model whose config this family can express.
        family: A family's name in KerasHub, for example "llama3": one of
            `keras_llm.zoo.hub_tables.HUB_FAMILIES`.

    Raises:
        InputError: KerasHub is not installed, or its family cannot express
            the model or its tokenizer; the message names what.

    Example:

    >>> from keras_llm import CausalLM, build_decoder, zoo
    >>> from keras_llm.tokenizers import BytePairTokenizer
    >>> tokenizer = BytePairTokenizer.train(["a rose is a rose"], 264)
    >>> config = zoo.config("gpt2", vocabulary_size=264, num_layers=1,
    ...     hidden_dim=8, num_heads=2, num_kv_heads=2, head_dim=4, mlp_dim=16)
    >>> lm = CausalLM(build_decoder(config), tokenizer)
    >>> type(to_keras_hub(lm, "gpt2")).__name__
    'GPT2CausalLM'
    """
    from keras_llm.adapters import merged_copy

    named = hub_family(family) if isinstance(family, str) else family
    models = _keras_hub().models
    model = merged_copy(lm.model)
    config = named.nearest(lm.config)
    values = named.write(config)
    tokenizer = to_hub_tokenizer(lm.tokenizer, named)
    length = values.pop(LENGTH, lm.config.context_length)
    backbone = getattr(models, f"{named.classes}Backbone")(
        **values, dtype=model.dtype_policy.name
    )
    pairs = _pairs(model, backbone, named)
    for entry, theirs in track(pairs, "converting weights", len(pairs)):
        theirs.assign(entry.tensor())
    preprocessor = getattr(models, f"{named.classes}CausalLMPreprocessor")(
        tokenizer, sequence_length=length
    )
    task = getattr(models, f"{named.classes}CausalLM")
    return task(backbone=backbone, preprocessor=preprocessor)


def save_keras_hub(
    lm: "CausalLM", folder: str | os.PathLike, family: HubFamily | str
) -> None:
    """Writes a preset that `keras_hub.models.CausalLM.from_preset` loads.

    Args:
        lm: As in `to_keras_hub`.
        folder: A new or empty folder, or an earlier preset, which is
            replaced as a whole or not at all.
        family: As in `to_keras_hub`.

    Raises:
        InputError: As in `to_keras_hub`, or the folder holds other files.
        OSError: The disk is full or not writable.

    Example:

    >>> import tempfile
    >>> from keras_llm import CausalLM, build_decoder, zoo
    >>> from keras_llm.tokenizers import BytePairTokenizer
    >>> tokenizer = BytePairTokenizer.train(["a rose is a rose"], 264)
    >>> config = zoo.config("gpt2", vocabulary_size=264, num_layers=1,
    ...     hidden_dim=8, num_heads=2, num_kv_heads=2, head_dim=4, mlp_dim=16)
    >>> lm = CausalLM(build_decoder(config), tokenizer)
    >>> folder = tempfile.mkdtemp()
    >>> save_keras_hub(lm, folder, "gpt2")
    >>> from_keras_hub(folder).config == lm.config
    True
    """
    from keras_llm.model import HDF5_EXTRA

    task = to_keras_hub(lm, family)
    sizes = (4 * math.prod(w.shape) for w in task.backbone.weights)
    with new_folder(folder, _holds_a_preset) as temporary:
        room = sum(size + HDF5_EXTRA for size in sizes)
        check_room(temporary / WEIGHTS_FILE, room)
        task.save_to_preset(str(temporary))


def _keras_hub() -> Any:
    try:
        import keras_hub
    except ImportError as error:
        raise InputError(
            "Expected the package keras-hub, to convert its models. Received: "
            f"{error}. Install it: pip install 'keras_llm[hub-interop]'."
        ) from error
    return keras_hub


def _parts(source: Any) -> tuple[Any, Any]:
    """The backbone, and the preprocessor or None."""
    models = _keras_hub().models
    if isinstance(source, str | os.PathLike):
        source = _from_folder(Path(source), models)
    if isinstance(source, models.Backbone):
        return source, None
    if isinstance(source, models.CausalLM):
        return source.backbone, source.preprocessor
    raise InputError(
        "Expected a keras_hub.models.CausalLM, its backbone, or a preset "
        f"folder. Received: {type(source).__name__}."
    )


def _from_folder(folder: Path, models: Any) -> Any:
    if not all((folder / name).is_file() for name in MAIN_FILES):
        raise InputError(
            "Expected a local folder that KerasHub's save_to_preset wrote, "
            f"with {' and '.join(MAIN_FILES)}. Received: {str(folder)!r}. "
            "Names of presets are not downloaded: load the model with "
            "keras_hub.models.CausalLM.from_preset and pass it."
        )
    try:
        return models.CausalLM.from_preset(str(folder))
    except (ValueError, OSError, KeyError) as error:
        raise InputError(
            f"Expected a preset in {folder} that KerasHub can load. "
            f"Received: {error}"
        ) from error


def _holds_a_preset(folder: Path) -> bool:
    shards = (path.name for path in folder.glob("model_*.weights.h5"))
    return holds_only({*PRESET_FILES, *shards})(folder)


def _config_of(
    backbone: Any, family: HubFamily, length: int | None
) -> DecoderConfig:
    """Our config of a backbone."""
    values = backbone.get_config()
    if length is None and LENGTH in family.keys:
        raise InputError(
            f"Expected a context_length, because a {type(backbone).__name__} "
            "without a preprocessor has none. Received: None."
        )
    values[LENGTH] = length
    # Not every config of KerasHub says whether the head is tied.
    tied = backbone.token_embedding.tie_weights
    return family.read(values).replace(tie_embeddings=tied)


def _pairs(
    model: "Decoder", backbone: Any, family: HubFamily
) -> list[tuple[Entry, Any]]:
    """Their variables, and where they are in ours; all shapes fit.

    Raises:
        InputError: A variable is missing, unknown, or of another shape.
    """
    entries = entries_of(model, family.weights)
    theirs = _variables(backbone)
    if HEAD in theirs and model.config.tie_embeddings:
        embeddings = model.get_layer("token_embedding").embeddings
        entries.append(Entry(HEAD, [embeddings], TRANSPOSED))
    expected = {entry.name: entry.shape for entry in entries}
    blocks = range(model.config.num_layers)
    harmless = {n.format(i=i) for n in family.weights.ignored for i in blocks}
    found = {
        name: tuple(variable.shape)
        for name, variable in theirs.items()
        if name not in harmless
    }
    wrong = [
        f"{name} {found.get(name, 'missing')} instead of "
        f"{expected.get(name, 'nothing')}"
        for name in sorted({*expected, *found})
        if found.get(name) != expected.get(name)
    ]
    if wrong:
        raise InputError(
            f"Expected a {type(backbone).__name__} with exactly the weights "
            f"of {family.name!r}. Received: {listing(wrong)}. LoRA and "
            "quantized weights are not converted: merge or load the model "
            "without them."
        )
    return [(entry, theirs[entry.name]) for entry in entries]


def _variables(backbone: Any) -> dict[str, Any]:
    """All weights by path, each below its layer: some are born outside."""
    return {
        f"{layer.name}/{COUNTED.sub('', path)}": weight
        for layer in backbone.layers
        for weight in layer.weights
        for path in [weight.path.removeprefix(f"{layer.name}/")]
    }
