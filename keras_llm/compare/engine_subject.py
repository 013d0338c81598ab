"""What exported models share as subjects: a server's engine continues them."""

from collections.abc import Sequence

from keras_llm.conversation import required
from keras_llm.evaluate.subject import Prompt
from keras_llm.evaluate.token_subject import TokenSubject
from keras_llm.evaluate.window_subject import BATCH_TOKENS
from keras_llm.export.server.asked import decoded
from keras_llm.export.server.engine import Engine, Row
from keras_llm.progress import track
from keras_llm.sampling import GenerationSettings
from keras_llm.stopping import cut
from keras_llm.tokenizers.chat import Messages

CHUNK = 8  # tokens decoded between two looks for a stop string


class EngineSubject(TokenSubject):
    """A subject over an `Engine`; subclasses say how windows are scored.

    Args:
        engine: What continues rows, with its tokenizer.
        name: What reports call it.
        fingerprint: Of the artifact's files.
        batch_tokens: Tokens scored at once, padding included.
    """

    def __init__(
        self,
        engine: Engine,
        name: str,
        fingerprint: str,
        batch_tokens: int = BATCH_TOKENS,
    ):
        self._engine, self._host = engine, engine.host
        super().__init__(
            name,
            fingerprint,
            self._host.config.context_length,
            self._host.tokenizer,
            self._host.start_id,
            batch_tokens,
        )

    def generate(self, prompts: Sequence[Prompt]) -> list[str]:
        """As `Subject.generate`; each row draws from its own seed."""
        ids = [self.prompt_ids(prompt) for prompt in prompts]
        texts, most = [""] * len(prompts), self._engine.most_rows
        order = sorted(range(len(prompts)), key=lambda i: -len(ids[i]))
        batches = (
            order[begin : begin + most] for begin in range(0, len(order), most)
        )
        for batch in track(batches, "generating", len(prompts), len):
            found = self._continued(
                [prompts[i] for i in batch], [ids[i] for i in batch]
            )
            for index, text in zip(batch, found, strict=True):
                texts[index] = self.without_special(text)
        return texts

    def chat_prompt(self, messages: Messages) -> str:
        """Returns a conversation as the text before the model's reply.

        Raises:
            InputError: The artifact has no chat template, or a message is
                not in its place.
        """
        template = required(self._host.chat)
        return template.render(messages, add_generation_prompt=True)

    def _continued(
        self, prompts: Sequence[Prompt], ids: Sequence[list[int]]
    ) -> list[str]:
        """The answers to prompts that run together."""
        rows = [
            Row(prompt, _settings(asked))
            for prompt, asked in zip(ids, prompts, strict=True)
        ]
        self._engine.change(rows, self._engine.rows)
        tokens: list[list[int]] = [[] for _ in rows]
        while True:
            news = self._engine.advance(CHUNK)
            for row, one in zip(tokens, news, strict=True):
                row.extend(token.id for token in one.tokens)
            found = [
                cut(decoded(self._host, row), asked.until)
                for row, asked in zip(tokens, prompts, strict=True)
            ]
            if all(
                stopped or one.done
                for (_, stopped), one in zip(found, news, strict=True)
            ):
                self._engine.clear()
                return [text for text, _ in found]


def _settings(prompt: Prompt) -> GenerationSettings:
    return GenerationSettings(
        max_new_tokens=prompt.max_new_tokens,
        temperature=prompt.temperature,
        seed=prompt.seed,
    )
