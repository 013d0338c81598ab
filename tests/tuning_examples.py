"""Examples to tune on, small enough to check by eye."""

import json
import random

from keras_llm.tokenizers import HostTokenizer
from keras_llm.tune import Conversation, exchange

HI = [*exchange("Hi", "Hello")]
MORE = [*exchange("Hi", "Hello", "Bye", "Ok", system="Be brief")]
WORDS = "a rose is red and a violet is blue said the poet".split()
BYTES = HostTokenizer.train(["a"], 261, progress=False)  # an id for each byte


def lines(*records: object) -> bytes:
    """JSON Lines of some records."""
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def missing_parts(error: Exception, parts: list[str]) -> list[str]:
    """What an error does not say."""
    return [part for part in parts if part not in str(error)]


def conversations(count: int) -> list[Conversation]:
    """Talks of one to three exchanges, a few words each."""
    choice = random.Random(4)
    return [
        Conversation(
            exchange(
                *(
                    " ".join(choice.choices(WORDS, k=choice.randint(1, 5)))
                    for _ in range(2 * choice.randint(1, 3))
                ),
                system="Rhyme" * (number % 2),
            ),
            number,
            f"chats.jsonl, line {number}",
        )
        for number in range(1, count + 1)
    ]


def learned(rows: object, row: int = 0) -> str:
    """The weights of a row as 0 and 1, from its first target on."""
    return "".join(str(int(weight)) for weight in rows.weights[row])


def decoder(context_length: int = 64) -> object:
    """A tiny decoder over bytes."""
    from keras_llm import DecoderConfig, build_decoder

    return build_decoder(
        DecoderConfig(
            vocabulary_size=BYTES.vocabulary_size,
            context_length=context_length,
            num_layers=2,
            hidden_dim=16,
            num_heads=2,
        )
    )
