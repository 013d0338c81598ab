"""`tokenizer.json` files built like those of the families, by `tokenizers`.

The pipelines are the published ones (normalizer, pre-tokenizer, flags of the
added tokens, post-processor); the vocabularies are learnt from a few texts,
because the published ones cannot be downloaded here.
"""

import json
from pathlib import Path

from tokenizer_texts import HOUSE
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

# As published; see the sources in test_pretokenize.py.
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace("{1,3}", "")
_UPPER = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_SUFFIX = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
O200K = (
    rf"{_UPPER}*{_LOWER}+{_SUFFIX}|{_UPPER}+{_LOWER}*{_SUFFIX}|\p{{N}}{{1,3}}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEKKEN = O200K.replace(_SUFFIX, "").replace("{1,3}", "")


def special(*texts, **flags):
    flags = {"normalized": False, **flags}
    return [AddedToken(text, special=True, **flags) for text in texts]


def text(*texts, **flags):
    flags = {"normalized": False, **flags}
    return [AddedToken(text, special=False, **flags) for text in texts]


def byte_level(**settings):
    settings = {"add_prefix_space": False, "use_regex": False, **settings}
    return pre_tokenizers.ByteLevel(**settings)


def split(regex, removed=False):
    behavior = ("removed", True) if removed else ("isolated", False)
    cut = pre_tokenizers.Split(Regex(regex), behavior[0], invert=behavior[1])
    return pre_tokenizers.Sequence([cut, byte_level()])


def digits():
    first = pre_tokenizers.Digits(individual_digits=True)
    rest = byte_level(use_regex=True)
    return pre_tokenizers.Sequence([first, rest])


GPT2 = byte_level(use_regex=True)
SPACES = [" " * count for count in range(24, 1, -1)]
NFC = normalizers.NFC()

# name: pre-tokenizer, normalizer, added tokens, bos that is put first
FAMILIES = {
    "gpt2": (GPT2, None, special("<|endoftext|>"), None),
    "gpt_neox": (
        *(GPT2, NFC),
        special("<|endoftext|>", "<|padding|>")
        + text(*SPACES, normalized=True),
        None,
    ),
    "llama3": (
        *(split(LLAMA3), None),
        special("<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"),
        "<|begin_of_text|>",
    ),
    "qwen3": (
        *(split(QWEN2), NFC),
        special("<|endoftext|>", "<|im_start|>", "<|im_end|>")
        + text("<tool_call>", "</tool_call>", "<think>", "</think>"),
        None,
    ),
    "smollm2": (
        digits(),
        None,
        special("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>"),
        None,
    ),
    "olmo2": (
        *(split(LLAMA3, removed=True), None),
        special("<|endoftext|>", "<|pad|>") + text("|||IP_ADDRESS|||"),
        None,
    ),
    "gpt_oss": (
        split(O200K),
        None,
        special("<|startoftext|>", "<|return|>", "<|start|>", "<|message|>"),
        None,
    ),
    "phi4": (
        *(split(LLAMA3, removed=True), None),
        special("<|endoftext|>")
        + special("<|im_start|>", "<|im_end|>", lstrip=True, rstrip=True),
        None,
    ),
    "nemo": (split(TEKKEN), None, special("<s>", "</s>", "[INST]"), "<s>"),
    "prefix": (
        byte_level(use_regex=True, add_prefix_space=True),
        None,
        special("<s>", "</s>") + special("<mask>", lstrip=True),
        "<s>",
    ),
}
FIRST_IN_VOCABULARY = ("gpt_neox", "smollm2", "nemo")


def build(
    name: str, texts=(HOUSE,) * 3, size: int = 600, words=()
) -> Tokenizer:
    """Returns a tokenizer with a family's pipeline, trained on texts.

    With `words`, tokens that no merge reaches, see `_with_words`.
    """
    splitter, normalizer, added, bos = FAMILIES[name]
    engine = Tokenizer(models.BPE())
    engine.pre_tokenizer, engine.decoder = splitter, decoders.ByteLevel()
    if normalizer is not None:
        engine.normalizer = normalizer
    first = [token for token in added if token.special]
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=first if name in FIRST_IN_VOCABULARY else [],
        show_progress=False,
    )
    engine.train_from_iterator(texts, trainer)
    if words:
        engine = _with_words(engine, words)
    for token in added:
        add = engine.add_special_tokens if token.special else engine.add_tokens
        add([token])
    post = [processors.ByteLevel(trim_offsets=False)]
    if bos is not None:
        bos_id = engine.token_to_id(bos)
        post.append(
            processors.TemplateProcessing(
                single=f"{bos} $A", special_tokens=[(bos, bos_id)]
            )
        )
    engine.post_processor = processors.Sequence(post)
    return engine


def _with_words(engine: Tokenizer, words: list[str]) -> Tokenizer:
    """Adds tokens no merge reaches, and lists merges as Llama 3's file does.

    That is every way to cut each token into two others.
    """
    content = json.loads(engine.to_str())
    model = content["model"]
    vocabulary = model["vocab"]
    free = len(vocabulary)
    vocabulary |= {word: free + i for i, word in enumerate(words)}
    ordered = sorted(vocabulary, key=vocabulary.__getitem__)
    cuts = ((t[:i], t[i:]) for t in ordered for i in range(1, len(t)))
    model["merges"] = [list(cut) for cut in cuts if {*cut} <= vocabulary.keys()]
    model["ignore_merges"] = True
    return Tokenizer.from_str(json.dumps(content))


def write(engine: Tokenizer, folder: Path) -> Path:
    engine.save(str(folder / "tokenizer.json"))
    return folder
