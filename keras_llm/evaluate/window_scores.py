"""Log-probabilities of windows of tokens by a decoder, each prefix read once.

Tried on two CPU cores: windows of one context behind its cache, repeated for
each, cost twice as much, because the caches are copied.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from keras import backend, ops

from keras_llm.adapters import compiled_key
from keras_llm.errors import InputError
from keras_llm.evaluate.pairs_rule import Window
from keras_llm.evaluate.prefix_tree import Tree, prefix_trees
from keras_llm.evaluate.window_subject import BATCH_TOKENS, Scores
from keras_llm.layers import lookup, new_cache
from keras_llm.layers.mask import HIDDEN
from keras_llm.model import Decoder
from keras_llm.progress import track
from keras_llm.step import DecoderStep, decoder_step

LONGEST_ROW = 2048  # tokens: attention takes their square times the heads
LOGITS = 1 << 24  # numbers of the head's output at a time: 64 MiB
LINEAR = 4  # times hidden_dim; measured with 256 and 320 on a CPU
WIDTHS = 8  # rows are this many tokens, or a multiple: fewer shapes


class WindowScorer:
    """Scores windows of tokens; see `evaluate.pairs_rule` for windows.

    What windows have in common is read once (`prefix_tree`), the head is
    computed for scored tokens only and in parts, and rows of about one
    length go together: memory is bounded by `batch_tokens`, whatever the
    vocabulary and the number of windows.

    Args:
        model: A decoder from `build_decoder`. Its weights are shared, so
            later training is seen.
        batch_tokens: Tokens computed at once, padding included.
        shared_prefix: Whether windows share rows.

    Call arguments:
        windows: Any number.
        progress: Whether a bar is shown. Default: False.

    Returns:
        One `Scores` for each window.

    Raises:
        InputError: An adapter of the model was put on, taken off, switched
            or merged since; see `check_adapters`.

    Example:

    >>> from keras_llm import DecoderConfig, build_decoder
    >>> model = build_decoder(DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=1, hidden_dim=8, num_heads=2))
    >>> score = WindowScorer(model)
    >>> [len(one.likeliest) for one in score([([1, 2, 3], 2), ([1, 4], 1)])]
    [2, 1]
    """

    def __init__(
        self,
        model: Decoder,
        batch_tokens: int = BATCH_TOKENS,
        shared_prefix: bool = True,
    ):
        self.model, self.batch_tokens = model, batch_tokens
        self._linear = LINEAR * model.config.hidden_dim * float(shared_prefix)
        self._compiled_with = compiled_key(model)
        step = decoder_step(model)
        self._read, self._pick = _reader(step), _picker(step)

    def __call__(
        self, windows: Sequence[Window], progress: bool = False
    ) -> list[Scores]:
        """Returns the scores of every window; see the class."""
        self.check_adapters()
        batches = list(_batches(self._rows(windows), self.batch_tokens))
        found: dict[int, Scores] = {}
        for trees in track(batches, "scoring") if progress else batches:
            found.update(self._scored(_laid_out(trees, windows)))
        return [found[number] for number in range(len(windows))]

    def check_adapters(self) -> None:
        """Makes sure that the adapters are those that it was made with.

        Raises:
            InputError: They are not.
        """
        if compiled_key(self.model) != self._compiled_with:
            raise InputError(
                "Expected the adapters that the model had when the scorer or "
                "subject was made. Received: other ones. Make a new one after "
                "adapters are switched."
            )

    def _rows(self, windows: Sequence[Window]) -> list[Tree]:
        """All rows, the shortest first."""
        rows = [
            tree
            for part in _parted(self.model.config.rope, windows)
            for tree in prefix_trees(part, LONGEST_ROW, self._linear)
        ]
        return sorted(rows, key=lambda tree: len(tree.tokens))

    def _scored(self, batch: "_Batch") -> Iterator[tuple[int, Scores]]:
        """Yields a batch's windows by number."""
        hidden = self._read(batch.tokens, batch.depths, batch.ends, batch.nodes)
        rows = max(1, LOGITS // self.model.config.vocabulary_size)
        values = np.empty(len(batch.targets), "float32")
        likeliest = np.empty(len(batch.targets), bool)
        for begin in range(0, len(batch.nodes), rows):
            part = slice(
                *np.searchsorted(batch.at, [begin, begin + rows]).tolist()
            )
            found = self._pick(
                hidden[begin : begin + rows],
                batch.at[part] - begin,
                batch.targets[part],
            )
            where = batch.order[part]
            values[where], likeliest[where] = map(ops.convert_to_numpy, found)
        ends = np.cumsum(batch.sizes)[:-1]
        parts = zip(
            np.split(values, ends), np.split(likeliest, ends), strict=True
        )
        for number, (value, likely) in zip(batch.numbers, parts, strict=True):
            yield number, Scores(value, likely)


class _Batch(NamedTuple):
    """Rows as arrays, and what is asked of them.

    Attributes:
        tokens, depths, ends: int32 `(rows, width)`; see `Tree`.
        nodes: int32 `(nodes,)`: places in the flattened rows that predict,
            each once, in order.
        at: int32 `(scored,)`: which of `nodes` predicts each scored token,
            in order, so that parts of the nodes have parts of the tokens.
        targets: int32 `(scored,)`, the scored tokens, ordered alike.
        order: int64 `(scored,)`: where each of them is among the windows'
            scored tokens, one window after the other.
        numbers, sizes: The windows and how many tokens of each are scored.
    """

    tokens: np.ndarray
    depths: np.ndarray
    ends: np.ndarray
    nodes: np.ndarray
    at: np.ndarray
    targets: np.ndarray
    order: np.ndarray
    numbers: list[int]
    sizes: list[int]


def _parted(
    rope: Any, windows: Sequence[Window]
) -> Iterator[Mapping[int, Window]]:
    """Windows by number, those apart whose positions turn at other speeds."""
    numbered = dict(enumerate(windows))
    if rope is None or rope.scaling != "longrope":
        yield numbered
        return
    for is_long in (False, True):
        yield {
            number: window
            for number, window in numbered.items()
            if (len(window[0]) - 1 > rope.original_context) == is_long
        }


def _batches(rows: Sequence[Tree], most: int) -> Iterator[list[Tree]]:
    """Cuts rows, the shortest first, into batches of at most `most` tokens.

    A row alone is a batch whatever its length.
    """
    batch: list[Tree] = []
    for tree in rows:
        if batch and (len(batch) + 1) * len(tree.tokens) > most:
            yield batch
            batch = []
        batch.append(tree)
    if batch:
        yield batch


def _laid_out(trees: Sequence[Tree], windows: Sequence[Window]) -> _Batch:
    """Fills up rows, the longest of which is the last."""
    width = -(-len(trees[-1].tokens) // WIDTHS) * WIDTHS
    tokens, depths, ends = np.zeros((3, len(trees), width), "int32")
    ends[:] = np.arange(1, width + 1)  # padding sees itself alone
    for row, tree in enumerate(trees):
        size = len(tree.tokens)
        tokens[row, :size], depths[row, :size] = tree.tokens, tree.depths
        ends[row, :size] = tree.ends
    places = {
        number: row * width + nodes
        for row, tree in enumerate(trees)
        for number, nodes in tree.places
    }
    sizes = [len(nodes) for nodes in places.values()]
    targets = np.concatenate(
        [windows[number][0][-len(nodes) :] for number, nodes in places.items()]
    )
    nodes, at = np.unique(
        np.concatenate([*places.values()]), return_inverse=True
    )
    order = np.argsort(at, kind="stable")
    return _Batch(
        tokens,
        depths,
        ends,
        nodes.astype("int32"),
        at[order].astype("int32"),
        targets[order].astype("int32"),
        order,
        list(places),
        sizes,
    )


def _reader(step: DecoderStep) -> Callable[..., Any]:
    """From rows and nodes to hidden states `(nodes, hidden_dim)`."""

    def read(tokens: Any, depths: Any, ends: Any, nodes: Any) -> Any:
        rows, width = ops.shape(tokens)
        order = ops.arange(width, dtype="int32")
        node = ops.expand_dims(order, 1)
        seen = (order <= node) & (node < ops.expand_dims(ends, 1))
        hidden, _ = step.hidden(
            tokens,
            depths,
            new_cache(step.config, rows, width, step.compute_dtype),
            ops.expand_dims(ops.where(seen, 0.0, HIDDEN), 1),
            write=lambda cache, new, positions: new,  # a row is its cache
            length=ops.max(depths, axis=1, keepdims=True) + 1,
            slot_positions=depths,
        )
        return lookup(hidden, nodes)

    table, row = ([None, None], "int32"), ([None], "int32")
    return _compiled(read, table, table, table, row)


def _picker(step: DecoderStep) -> Callable[..., Any]:
    """From hidden states and targets to what `Scores` holds."""

    def pick(hidden: Any, at: Any, targets: Any) -> tuple[Any, Any]:
        logits = step.logits(hidden)
        places = at * step.config.vocabulary_size + targets
        own = lookup(ops.reshape(logits, (-1,)), places)
        total, top = ops.logsumexp(logits, axis=-1), ops.max(logits, axis=-1)
        return own - lookup(total, at), own >= lookup(top, at)

    states = ([None, step.config.hidden_dim], step.compute_dtype)
    return _compiled(pick, states, ([None], "int32"), ([None], "int32"))


def _compiled(function: Callable, *specs: tuple) -> Callable:
    """A function of tensors of these shapes and dtypes, compiled once."""
    if backend.backend() != "tensorflow":
        return function
    import tensorflow as tf

    signature = [tf.TensorSpec(*spec) for spec in specs]
    return tf.function(function, input_signature=signature, autograph=False)
