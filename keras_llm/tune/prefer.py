"""prefer: from pairs of answers to a model that prefers the chosen ones."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_llm.data.array_rows import ArrayRows
from keras_llm.errors import InputError
from keras_llm.figures import new_figure
from keras_llm.files import atomic_path
from keras_llm.records import Record
from keras_llm.tokenizers.chat_template import ChatTemplate
from keras_llm.train import TrainReport, fit
from keras_llm.train.folder import PLAN
from keras_llm.tune.examples import Pair, Rating
from keras_llm.tune.kto_rows import kto_rows
from keras_llm.tune.pair_rows import PLAIN, pair_rows
from keras_llm.tune.pairs import ratings_of
from keras_llm.tune.preference import REFERRING, Preference
from keras_llm.tune.reference import with_reference

OBJECTIVE = "objective.json"  # in a run's folder: the constants of its loss
DEFAULTS: dict[str, Any] = {"learning_rate": 1e-5, "weight_decay": 0.0}
Rated = Iterable[Pair | Rating]


def prefer(
    lm: Any,
    pairs: Rated,
    *,
    kind: str | Preference = "dpo",
    validation: Rated | None = None,
    reference: Any = None,
    template: ChatTemplate | str | None = None,
    context_length: int | None = None,
    too_long: str = "drop",
    out: str | os.PathLike | None = None,
    **settings: Any,
) -> TrainReport:
    """Tunes a language model in place on preferences.

    What is trained is what is trainable: the whole model, or its adapter
    after `adapters.attach`.

    Args:
        lm: A `CausalLM` that can already answer (see `chat_rows`).
        pairs: From `read_pairs`. For "kto" also ratings (`read_ratings`);
            pairs are then two ratings each.
        kind: "dpo", "ipo", "kto", "orpo" or "simpo", or a `Preference` with
            constants of your own.
        validation: More of them, held out, scored as the settings say.
        reference: The model that "dpo", "ipo" and "kto" keep to: a decoder
            or a `CausalLM`. Default: the base of a model with adapters, else
            the model as it is at the start.
        template: The chat template, or "plain" for none. Default: the
            model's own, else "plain".
        context_length: The most tokens of a prompt with one answer. Default:
            the model's.
        too_long: What happens to longer ones, as in `pair_rows`.
        out: Folder of the run, as in `train.fit`, where the reference's
            log-probabilities are kept too. The same call goes on with a
            stopped run.
        **settings: Of `train.fit`: `steps`, `batch_size` (pairs), ...
            Defaults that differ: learning_rate=1e-5, weight_decay=0.

    Returns:
        The report; `metrics.jsonl` has the margins, accuracy and KL (see
        `Preference`), which `plot_preference` draws.

    Raises:
        InputError: The pairs cannot be used (see `pair_rows`), a setting is
            out of range, or the folder holds another run.

    Example:

    >>> import keras_llm as kl
    >>> from keras_llm.tokenizers import HostTokenizer
    >>> from keras_llm.tune import exchange
    >>> tokenizer = HostTokenizer.train(["a"], 261, progress=False)
    >>> lm = kl.CausalLM(kl.build_decoder(kl.DecoderConfig(vocabulary_size=261,
    ...     context_length=16, num_layers=1, hidden_dim=8, num_heads=2)),
    ...     tokenizer)
    >>> report = prefer(lm, [Pair(exchange("a"), "b", "cd")], steps=1,
    ...                 batch_size=1)
    >>> round(report.loss, 4)  # log(2): model and reference are the same
    0.6931
    """
    loss = kind if isinstance(kind, Preference) else Preference(kind)
    keep_settings(out, loss.config)
    chat = template or lm.chat_template or PLAIN
    length = context_length or lm.config.context_length

    def rows_of(rated: Rated, cache: str) -> ArrayRows:
        made = _rows(loss, rated, lm.tokenizer, chat, length, too_long)
        if loss.config.kind not in REFERRING:
            return made
        return with_reference(
            *(made, _decoder(reference, lm)),
            cache=None if out is None else Path(out) / cache,
            any_weights=out is not None and (Path(out) / PLAN).exists(),
        )

    rows = rows_of(pairs, "reference.npz")
    held = None
    if validation is not None:
        held = rows_of(validation, "reference_validation.npz")
    return fit(
        lm.model,
        rows,
        out=out,
        validation_rows=held,
        tokenizer=lm.tokenizer,
        objective=loss,
        **{**DEFAULTS, **settings},
    )


def keep_settings(
    out: str | os.PathLike | None, record: Record, name: str = OBJECTIVE
) -> None:
    """Writes an objective's constants beside a run, or checks that they are
    those it was started with.

    Args:
        out: The run's folder, or None.
        record: The constants.
        name: Of the file.

    Raises:
        InputError: The run was started with others.

    Example:

    >>> keep_settings(None, Preference("dpo").config)
    """
    if out is None:
        return
    path = Path(out) / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        record.save(path)
        return
    before, now = type(record).load(path).to_dict(), record.to_dict()
    changed = [
        f"{name} was {before[name]!r} and is {value!r}"
        for name, value in now.items()
        if before[name] != value
    ]
    if changed:
        raise InputError(
            f"Expected the objective that {out} was started with. Received: "
            f"{'; '.join(changed)}. Use the same to continue, or another "
            "folder to start anew."
        )


def plot_preference(
    history: Sequence[Mapping[str, Any]], path: str | os.PathLike
) -> None:
    """Draws margins and accuracy over the steps into a picture.

    Args:
        history: Lines of `metrics.jsonl` (`train.read_history`) of a run of
            `prefer` or `reward`.
        path: The picture to write: .png, .svg or .pdf.

    Raises:
        InputError: matplotlib is missing, or the history has no margins.

    Example:

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "margins.png"
    >>> plot_preference([{"step": 1, "margin": 0.0, "accuracy": 0.5}], path)
    >>> path.read_bytes()[1:4]
    b'PNG'
    """
    if not any("margin" in line for line in history):
        raise InputError(
            "Expected a history with margins. Received: none in "
            f"{len(history)} lines. Pass train.read_history(report.history) "
            "of a run of tune.prefer."
        )
    figure = new_figure(10.0, 4.0)
    for axes, name in zip(
        figure.subplots(1, 2), ("margin", "accuracy"), strict=True
    ):
        for label, key in (
            ("training", name),
            ("held out", f"validation_{name}"),
        ):
            points = [(h["step"], h[key]) for h in history if key in h]
            if points:
                axes.plot(*zip(*points, strict=True), label=label, marker=".")
        axes.set(xlabel="step", ylabel=name, title=TITLES[name])
        axes.grid(alpha=0.3)
        axes.legend()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=90)


TITLES = {
    "margin": "Reward of the chosen answer over the other",
    "accuracy": "Pairs whose chosen answer has the higher reward",
}


def _rows(
    loss: Preference,
    rated: Rated,
    tokenizer: Any,
    chat: ChatTemplate | str,
    context_length: int,
    too_long: str,
) -> ArrayRows:
    """Pairs as the rows that a loss takes."""
    arguments = (tokenizer, chat, context_length, too_long)
    if loss.config.kind == "kto":
        return kto_rows(_ratings(rated), *arguments)
    given = list(rated)
    pairs = [one for one in given if isinstance(one, Pair)]
    if len(pairs) < len(given):
        single = next(one for one in given if isinstance(one, Rating))
        raise InputError(
            f"Expected pairs for {loss.config.kind!r}. Received: single "
            f'answers, such as {single.where}. Pass kind="kto", or pairs '
            "from tune.read_pairs."
        )
    return pair_rows(pairs, *arguments)


def _ratings(rated: Rated) -> list[Rating]:
    """Ratings, and pairs as two ratings each."""
    return [
        one
        for some in rated
        for one in ([some] if isinstance(some, Rating) else ratings_of([some]))
    ]


def _decoder(reference: Any, lm: Any) -> Any:
    """The decoder of a reference, which is the model itself by default."""
    if reference is None:
        return lm.model
    return getattr(reference, "model", reference)
