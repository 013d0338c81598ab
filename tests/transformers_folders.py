"""Tiny folders in Hugging Face's form: random weights, a trained tokenizer."""

from pathlib import Path
from typing import Any

TEXTS = [
    "a rose is a rose, the king who was upon a time said: naïve 日本",
    "Question: 1 + 1?\nAnswer: 2",
]
WORDS = 320  # ids of the tokenizer


def tokenizer(end: str, ends: bool = False) -> Any:
    """A byte-level BPE of `transformers`; T5's puts `end` after a text."""
    import tokenizers
    import transformers

    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    level = tokenizers.pre_tokenizers.ByteLevel
    made.pre_tokenizer = level(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=WORDS,
        special_tokens=["<pad>", end],
        initial_alphabet=level.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(TEXTS * 3, trainer)
    if ends:
        made.post_processor = tokenizers.processors.TemplateProcessing(
            single=f"$A {end}",
            special_tokens=[(end, made.token_to_id(end))],
        )
    special = {"eos_token": end, "pad_token": "<pad>"}
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, clean_up_tokenization_spaces=False, **special
    )


def gpt2_folder(folder: Path, context: int = 32) -> Path:
    """A GPT-2 that reads `context` tokens."""
    import torch
    import transformers

    words = tokenizer("<|endoftext|>")
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=len(words),
        n_positions=context,
        n_embd=16,
        n_layer=2,
        n_head=2,
        initializer_range=0.4,
        bos_token_id=None,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
    )
    model = transformers.GPT2LMHeadModel(config)
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def t5_folder(folder: Path) -> Path:
    """A T5 of one layer on each side."""
    import torch
    import transformers

    words = tokenizer("</s>", ends=True)
    torch.manual_seed(0)
    config = transformers.T5Config(
        vocab_size=len(words),
        d_model=16,
        d_kv=8,
        d_ff=32,
        num_layers=1,
        num_heads=2,
        pad_token_id=words.pad_token_id,
        eos_token_id=words.eos_token_id,
        decoder_start_token_id=words.pad_token_id,
        tie_word_embeddings=False,
    )
    model = transformers.T5ForConditionalGeneration(config)
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.5)
    model.save_pretrained(folder)
    words.model_max_length = 24
    words.save_pretrained(folder)
    return folder
