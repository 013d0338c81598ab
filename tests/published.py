"""Tiny models as they are published: config, weights, tokenizer, and beside.

`by_hand` needs no torch; `by_transformers` writes what `transformers` writes.
"""

import io
import json
from pathlib import Path
from typing import Any

import contract
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    pre_tokenizers,
    processors,
    trainers,
)

from keras_llm import DecoderConfig, zoo
from keras_llm.tokenizers import BytePairTokenizer

TEXT = (
    "Once upon a time there was a king who had a rose. The rose was red, and "
    "the king was old. Once upon a time there was a cat; the cat had a king. "
) * 3
PROMPTS = ["Once upon a time", "the king had", "a", "rose, rose"]
SPECIAL = ["<s>", "</s>", "<|im_start|>", "<|im_end|>"]
BOS = {"bos_token": "<s>", "eos_token": "</s>"}
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n'"
    " + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
CONFIG = DecoderConfig(
    vocabulary_size=320,
    context_length=64,
    num_layers=2,
    hidden_dim=32,
    num_heads=4,
    num_kv_heads=2,
    tie_embeddings=False,
)


def by_hand(folder: Path, config: DecoderConfig = CONFIG, **files: Any) -> Path:
    """Writes a llama in Hugging Face's form, without transformers.

    Args:
        folder: Where; it may be missing.
        config: Its config.
        **files: Names without ".json" and what these files say; None
            leaves one out.
    """
    model = contract.decoder(config)
    zoo.save_hugging_face(model, folder, "llama")
    engine = byte_level(bos=True)
    files = {
        "tokenizer": json.loads(engine.to_str()),
        "tokenizer_config": {"bos_token": "<s>", "eos_token": "</s>"},
    } | files
    for name, content in files.items():
        if content is not None:
            text = content if isinstance(content, str) else json.dumps(content)
            (folder / f"{name}.json").write_text(text)
    return folder


def by_transformers(
    folder: Path, family: str, bos: bool, **config: Any
) -> tuple[Any, Any]:
    """Writes a tiny model with its tokenizer; returns both as loaded back."""
    import transformers

    size = dict(
        vocab_size=320,
        num_hidden_layers=2,
        hidden_size=32,
        num_attention_heads=4,
        max_position_embeddings=64,
        initializer_range=0.5,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=None,
    )
    transformers.set_seed(5)
    made = transformers.AutoConfig.for_model(family, **(size | config))
    model = transformers.AutoModelForCausalLM.from_config(made).eval()
    model.save_pretrained(folder)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=byte_level(bos),
        bos_token="<s>",
        eos_token="</s>",
    )
    tokenizer.save_pretrained(folder)
    return load_there(folder)


def load_there(folder: Path) -> tuple[Any, Any]:
    """Returns the model and the tokenizer that `transformers` loads."""
    import transformers

    return (
        transformers.AutoModelForCausalLM.from_pretrained(
            folder, attn_implementation="eager"
        ).eval(),
        transformers.AutoTokenizer.from_pretrained(folder),
    )


def greedy_there(model: Any, tokenizer: Any, prompt: str, count: int) -> str:
    """Returns what `transformers` continues a prompt with."""
    return tokenizer.decode(greedy_ids(model, tokenizer, prompt, count))


def greedy_ids(
    model: Any, tokenizer: Any, prompt: str, count: int
) -> list[int]:
    """Returns the ids of that, without the one that ended it."""
    ids = tokenizer(prompt, return_tensors="pt")
    found = model.generate(
        **ids,
        max_new_tokens=count,
        do_sample=False,
        pad_token_id=0,
        temperature=None,
        top_p=None,
        top_k=None,
    )[0, ids["input_ids"].shape[1] :].tolist()
    ends = model.generation_config.eos_token_id
    ends = ends if isinstance(ends, list) else [ends]
    return [token for token in found if token not in ends]


def byte_level(bos: bool) -> Tokenizer:
    """A byte-level BPE of 320 tokens, which puts <s> first or does not."""
    engine = Tokenizer(models.BPE())
    engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    engine.decoder = decoders.ByteLevel()
    engine.train_from_iterator(
        [TEXT],
        trainers.BpeTrainer(
            vocab_size=320,
            special_tokens=SPECIAL,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    engine.post_processor = (
        processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", 0)]
        )
        if bos
        else processors.ByteLevel(trim_offsets=False)
    )
    return engine


def sentence_pieces() -> bytes:
    """A SentencePiece model of 320 pieces in Llama's way, as a file."""
    import sentencepiece

    content = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([TEXT]),
        model_writer=content,
        vocab_size=320,
        model_type="bpe",
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return content.getvalue()


def own_tokenizer() -> BytePairTokenizer:
    """A tokenizer that this library trained."""
    return BytePairTokenizer.train([TEXT], 300, progress=False)
