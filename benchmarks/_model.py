"""The random model that benchmarks of exports run."""

from typing import Any


def language_model(size: dict[str, Any], **settings: Any) -> Any:
    """Returns a `CausalLM` with a real tokenizer and random weights.

    Args:
        size: Arguments of `DecoderConfig` but for the vocabulary.
        **settings: Of `CausalLM`.
    """
    import pydoc_data.topics

    from keras_llm import (
        BytePairTokenizer,
        CausalLM,
        DecoderConfig,
        build_decoder,
    )

    texts = list(pydoc_data.topics.topics.values())
    tokenizer = BytePairTokenizer.train(texts, 8192, progress=False)
    config = DecoderConfig(vocabulary_size=8192, **size)
    return CausalLM(build_decoder(config), tokenizer, **settings)
