"""How texts become windows of tokens to score: one rule for every subject.

A window is `(tokens, scored)`: what a model reads and predicts, of which the
last `scored` tokens count. A model that reads `n` tokens takes windows of at
most `n + 1`: nothing is predicted after the last.
"""

from collections.abc import Callable, Iterator, Sequence

from keras_llm.errors import InputError

Window = tuple[list[int], int]


def move_spaces(context: str, continuation: str) -> tuple[str, str]:
    """Moves the spaces that end a context to where tokenizers keep them.

    Source: `TemplateLM._encode_pair` of the lm-evaluation-harness,
    https://github.com/EleutherAI/lm-evaluation-harness.

    Example:

    >>> move_spaces("The sky is ", "blue")
    ('The sky is', ' blue')
    """
    kept = context.rstrip()
    return kept, context[len(kept) :] + continuation


def encode_pair(
    encode: Callable[[str], list[int]],
    context: str,
    continuation: str,
    start: int,
) -> tuple[list[int], list[int]]:
    """Returns the ids of a context and of what follows it.

    Both texts are encoded together and cut where the context's own tokens
    end, so a token that spans the border counts as the context's.

    Args:
        encode: From a text to its ids, with whatever the model expects first.
        context: What is given. Empty, or of spaces alone: the start token.
        continuation: What is scored.
        start: The id that a text starts from, the bos or else the eos. A
            continuation that begins with it is not given another.

    Raises:
        InputError: The continuation has no token of its own.

    Source: `TemplateLM.loglikelihood` and `_encode_pair` of the
    lm-evaluation-harness, https://github.com/EleutherAI/lm-evaluation-harness.

    Example:

    >>> bytes_of = lambda text: list(text.encode())
    >>> encode_pair(bytes_of, "a ", "b", 0)
    ([97], [32, 98])
    >>> encode_pair(bytes_of, "", "b", 0)
    ([0], [98])
    """
    context, continuation = move_spaces(context, continuation)
    given = encode(context) if context else []
    scored = encode(context + continuation)[len(given) :]
    if not given:
        given = [start]
        scored = scored[1:] if scored[:1] == given else scored
    if not scored:
        raise InputError(
            "Expected a continuation with at least one token of its own. "
            f"Received: {continuation!r:.60} after {context[-40:]!r}. Leave "
            "this item out, or begin its continuation with a space."
        )
    return given, scored


def pair_window(
    context: Sequence[int], continuation: Sequence[int], context_length: int
) -> Window:
    """Returns the window that scores a continuation after its context.

    Too long a context loses its beginning.

    Args:
        context: Ids of the context, at least one.
        continuation: Ids that are scored.
        context_length: Most tokens the model reads.

    Raises:
        InputError: The continuation alone is longer than the model reads.

    Source: `HFLM._loglikelihood_tokens` of the lm-evaluation-harness.

    Example:

    >>> pair_window([1, 2, 3], [4, 5], 3)
    ([2, 3, 4, 5], 2)
    """
    if len(continuation) > context_length:
        raise InputError(
            f"Expected a continuation of at most {context_length} tokens, "
            f"which the model reads at once. Received: {len(continuation)} "
            "tokens. Score it as a whole text with `rolling`, or use a model "
            "with a longer context."
        )
    whole = [*context, *continuation]
    return whole[-(context_length + 1) :], len(continuation)


def rolling_windows(
    ids: Sequence[int],
    start: int,
    context_length: int,
    stride: int | None = None,
) -> Iterator[Window]:
    """Cuts a document so that every token is scored exactly once.

    Args:
        ids: The document's token ids.
        start: The id that the first token is predicted from.
        context_length: Most tokens the model reads.
        stride: Tokens scored by each window after the first: fewer give each
            token more context, for more windows. Default: `context_length`,
            as the lm-evaluation-harness has it.

    Yields:
        `(tokens, scored)`: at most `context_length + 1` tokens, of which the
        last `scored` count.

    Raises:
        InputError: `stride` is not from 1 to `context_length`.

    Source: `loglikelihood_rolling` and `get_rolling_token_windows` of the
    lm-evaluation-harness.

    Example:

    >>> list(rolling_windows([1, 2, 3, 4, 5], 0, 3))
    [([0, 1, 2, 3], 3), ([2, 3, 4, 5], 2)]
    >>> list(rolling_windows([1, 2, 3, 4, 5], 0, 3, stride=1))
    [([0, 1, 2, 3], 3), ([1, 2, 3, 4], 1), ([2, 3, 4, 5], 1)]
    """
    stride = context_length if stride is None else stride
    if not 1 <= stride <= context_length:
        raise InputError(
            f"Expected a stride from 1 to {context_length}, the tokens that "
            f"the model reads at once. Received: {stride}."
        )
    whole, end = [start, *ids], 0
    while end < len(ids):
        begin, end = (
            end,
            min(end + (stride if end else context_length), len(ids)),
        )
        yield whole[max(0, end - context_length) : end + 1], end - begin


def fit_prompt(
    ids: Sequence[int], max_new_tokens: int, context_length: int
) -> list[int]:
    """Returns the end of a prompt that leaves room for its answer.

    Args:
        ids: The prompt's ids.
        max_new_tokens: Room to leave.
        context_length: Tokens of prompt and answer together.

    Raises:
        InputError: The answer alone fills the context.

    Source: `HFLM.generate_until` of the lm-evaluation-harness.

    Example:

    >>> fit_prompt([1, 2, 3, 4], max_new_tokens=2, context_length=5)
    [2, 3, 4]
    """
    room = context_length - max_new_tokens
    if room < 1:
        raise InputError(
            f"Expected max_new_tokens below {context_length}, the tokens that "
            f"a prompt and its answer have together. Received: "
            f"{max_new_tokens}. Ask for a shorter answer."
        )
    return list(ids[-room:])
