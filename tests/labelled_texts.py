"""Texts of two kinds, and a tiny language model of them."""

from keras_llm import BytePairTokenizer, CausalLM, DecoderConfig, build_decoder

WORDS = ["red", "blue", "green", "cat", "dog", "cow"]
COLOURS = [
    (f"the {a} and the {b}", "colour") for a in WORDS[:3] for b in WORDS[:3]
]
BEASTS = [(f"a {a} or a {b}", "beast") for a in WORDS[3:] for b in WORDS[3:]]
FAMILIES = {
    "gpt2": {"norm": "layer", "rope": None},
    "llama": {},
    "untied": {"tie_embeddings": False, "num_kv_heads": 1},
}


def language_model(dropout: float = 0.0, **changes) -> CausalLM:
    texts = [text for text, _ in COLOURS + BEASTS]
    tokenizer = BytePairTokenizer.train(texts, 290, progress=False)
    config = DecoderConfig(
        vocabulary_size=300,
        context_length=24,
        num_layers=2,
        hidden_dim=16,
        num_heads=2,
        dropout=dropout,
        **changes,
    )
    return CausalLM(build_decoder(config), tokenizer)
