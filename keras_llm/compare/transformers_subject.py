"""Models of `transformers` as subjects: decoders, and encoder-decoders."""

import copy
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_llm.compare.files_hash import folder_fingerprint
from keras_llm.compare.transformers_loading import (
    context_length,
    load_transformers,
)
from keras_llm.errors import InputError
from keras_llm.evaluate.pairs_rule import Window, move_spaces, pair_window
from keras_llm.evaluate.subject import Continuation, Prompt
from keras_llm.evaluate.window_subject import (
    BATCH_TOKENS,
    Scores,
    WindowSubject,
    padded,
)
from keras_llm.progress import track
from keras_llm.stopping import cut
from keras_llm.tokenizers.chat import Messages


class TransformersSubject(WindowSubject):
    """A causal model of `transformers`, by the rules of the harness's HFLM.

    Args:
        folder: A local folder with config.json, weights and tokenizer.
        name: What reports call it. Default: the folder's name.
        dtype: Precision of weights and computation.
        device: Where it computes, for example "cuda".
        batch_tokens: Tokens computed at once, padding included.

    Raises:
        InputError: `transformers` or `torch` is missing, or the folder holds
            no such model.

    Source: `HFLM` of the lm-evaluation-harness,
    https://github.com/EleutherAI/lm-evaluation-harness.

    Example:

    >>> TransformersSubject("nowhere")
    Traceback (most recent call last):
    keras_llm.errors.InputError: Expected a folder ... at nowhere. ...
    """

    _kind = "AutoModelForCausalLM"

    def __init__(
        self,
        folder: str | os.PathLike,
        name: str | None = None,
        dtype: str = "float32",
        device: str = "cpu",
        batch_tokens: int = BATCH_TOKENS,
    ):
        folder = Path(folder)
        model, self.tokenizer = load_transformers(folder, self._kind, dtype)
        self.model = model.to(device).eval()
        tokenizer, start = self.tokenizer, self.tokenizer.bos_token_id
        start = tokenizer.eos_token_id if start is None else start
        super().__init__(
            name or folder.resolve().name,
            folder_fingerprint(folder, "transformers", self._kind, dtype),
            context_length(model.config, tokenizer),
            start,
            batch_tokens,
        )
        self._first = "" if self._start is None else tokenizer.decode(start)

    def encode(self, text: str) -> list[int]:
        """Returns ids with the tokenizer's own special tokens.

        A text that begins with the start token gets no second one.
        """
        given = bool(self._first) and text.startswith(self._first)
        return self.tokenizer.encode(text, add_special_tokens=not given)

    def spell(self, ids: Sequence[int]) -> list[str]:
        """Returns each id's text."""
        return [self.tokenizer.decode([token]) for token in ids]

    def score(self, windows: Sequence[Window]) -> list[Scores]:
        """Scores one batch in one pass."""
        logits = self._logits([tokens[:-1] for tokens, _ in windows])
        return [
            _scores(row[: len(tokens) - 1], tokens, scored)
            for row, (tokens, scored) in zip(logits, windows, strict=True)
        ]

    def generate(self, prompts: Sequence[Prompt]) -> list[str]:
        """As `Subject.generate`; a drawn answer depends on its seed alone."""
        ids = [self.prompt_ids(prompt) for prompt in prompts]
        texts = [""] * len(prompts)
        batches = self._alike(prompts, ids)
        for batch in track(batches, "generating", len(prompts), len):
            rows = self._continued(prompts[batch[0]], [ids[i] for i in batch])
            for index, row in zip(batch, rows, strict=True):
                text = self.tokenizer.decode(row, skip_special_tokens=True)
                texts[index] = cut(text, prompts[index].until)[0]
        return texts

    def chat_prompt(self, messages: Messages) -> str:
        """Returns a conversation as the text before the model's reply.

        Raises:
            InputError: The folder has no chat template.
        """
        if self.tokenizer.chat_template is None:
            raise InputError(
                "Expected a tokenizer with a chat template. Received: "
                f"{self.name}, whose has none. Ask without one."
            )
        return self.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )

    def _alike(
        self, prompts: Sequence[Prompt], ids: Sequence[list[int]]
    ) -> Iterator[list[int]]:
        """Prompts that can go together: equal settings, the longest first."""
        groups: dict[Any, list[int]] = {}
        for index, prompt in enumerate(prompts):
            key = (prompt.until, prompt.max_new_tokens)
            alone = index if prompt.temperature else None
            groups.setdefault((*key, alone), []).append(index)
        for group in groups.values():
            group.sort(key=lambda index: -len(ids[index]))
            size = len(ids[group[0]]) + prompts[group[0]].max_new_tokens
            rows = max(self._batch_tokens // size, 1)
            for begin in range(0, len(group), rows):
                yield group[begin : begin + rows]

    def _continued(
        self, prompt: Prompt, rows: Sequence[list[int]]
    ) -> list[list[int]]:
        """The new ids of prompts of equal settings."""
        import torch

        width = max(map(len, rows))
        tokens, mask = np.zeros((2, len(rows), width), "int64")
        for at, ids in enumerate(rows):  # padded where generation begins not
            tokens[at, width - len(ids) :], mask[at, width - len(ids) :] = (
                ids,
                1,
            )
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(prompt.seed)
            found = self.model.generate(
                input_ids=self._tensor(tokens),
                attention_mask=self._tensor(mask),
                generation_config=self._settings(prompt),
                stopping_criteria=self._stops(prompt.until, self._skip(width)),
            )
        return found[:, self._skip(width) :].tolist()

    def _skip(self, width: int) -> int:
        """How many of the ids that come back are not new."""
        return width

    def _settings(self, prompt: Prompt) -> Any:
        """The model's own settings, but drawn or not as the prompt says."""
        settings = copy.deepcopy(self.model.generation_config)
        pads = (settings.pad_token_id, self.tokenizer.pad_token_id, 0)
        drawn = prompt.temperature > 0
        settings.update(
            max_new_tokens=prompt.max_new_tokens,
            max_length=None,
            num_beams=1,
            do_sample=drawn,
            temperature=prompt.temperature if drawn else 1.0,
            top_k=0 if drawn else 50,  # 50: what its checks take to be unset
            top_p=1.0,
            repetition_penalty=1.0,
            pad_token_id=next(pad for pad in pads if pad is not None),
        )
        return settings

    def _stops(self, until: Sequence[str], skip: int) -> list[Callable]:
        """Says after each token which rows have come to a stop string."""
        import torch

        def stopped(ids: Any, scores: Any, **given: Any) -> Any:
            texts = self.tokenizer.batch_decode(ids[:, skip:])
            found = [cut(text, until)[1] for text in texts]
            return torch.tensor(found, device=ids.device)

        return [stopped] if until else []

    def _logits(self, rows: Sequence[list[int]]) -> Any:
        """Logits `(rows, time, vocabulary)`; padding comes last, unseen."""
        import torch

        with torch.no_grad():
            return self.model(input_ids=self._tensor(padded(rows))).logits

    def _tensor(self, array: np.ndarray) -> Any:
        import torch

        return torch.from_numpy(array).to(self.model.device)


class Seq2SeqSubject(TransformersSubject):
    """An encoder-decoder of `transformers`, such as T5.

    The encoder reads a context and the decoder says the continuation, each
    encoded by itself. A whole text is scored as the harness does: the encoder
    reads the start token alone, or what comes before a window, and the
    decoder says the window. Such numbers compare encoder-decoders only.

    Args:
        folder: A local folder with config.json, weights and tokenizer.
        **options: As for `TransformersSubject`.

    Source: `HFLM(backend="seq2seq")` of the lm-evaluation-harness.

    Example:

    >>> Seq2SeqSubject("nowhere")
    Traceback (most recent call last):
    keras_llm.errors.InputError: Expected a folder ... at nowhere. ...
    """

    _kind = "AutoModelForSeq2SeqLM"

    def window(self, request: Continuation) -> Window:
        """Returns the encoder's ids, and then the decoder's that count."""
        context, continuation = move_spaces(*request)
        given = self.encode(context) if context else [self.start]
        scored = self.tokenizer.encode(continuation, add_special_tokens=False)
        _, count = pair_window(given, scored, self.context_length)
        return [*given[-self.context_length :], *scored], count

    def score(self, windows: Sequence[Window]) -> list[Scores]:
        """Scores one batch in one pass of both halves."""
        import torch

        given = [tokens[:-scored] for tokens, scored in windows]
        said = [tokens[-scored:] for tokens, scored in windows]
        with torch.no_grad():
            logits = self.model(
                input_ids=self._tensor(padded(given)),
                attention_mask=self._tensor(
                    padded([[1] * len(g) for g in given])
                ),
                labels=self._tensor(padded(said)),
            ).logits
        return [
            _scores(row[: len(tokens)], tokens, len(tokens))
            for row, tokens in zip(logits, said, strict=True)
        ]

    def prompt_ids(self, prompt: Prompt) -> list[int]:
        """Returns the end of a prompt; the answer needs no room there."""
        ids = self.encode(prompt.context)
        return ids[-self.context_length :]

    def _skip(self, width: int) -> int:
        return 1  # the token that the decoder starts from


def _scores(logits: Any, tokens: Sequence[int], scored: int) -> Scores:
    """Scores of the last tokens out of logits `(time, vocabulary)`."""
    import torch

    logits = logits[-scored:].float()
    wanted = torch.tensor(tokens[-scored:], device=logits.device)
    picked = logits.gather(1, wanted[:, None])[:, 0]
    values = picked - logits.logsumexp(1)
    likeliest = logits.argmax(1) == wanted
    return Scores(values.cpu().numpy(), likeliest.cpu().numpy())
