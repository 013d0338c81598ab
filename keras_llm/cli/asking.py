"""Questions in the terminal: which answer is better, what class is a text."""

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.columns import Columns
from rich.console import Console, Group
from rich.panel import Panel
from rich.text import Text

from keras_llm.errors import InputError

QUIT, SKIP, TIE = "q", "s", "t"
WORDS = {"quit": QUIT, "exit": QUIT, "skip": SKIP, "tie": TIE}
PAIR_KEYS = {
    "1": "first",
    "2": "second",
    TIE: "tie",
    "c1": "correct the first",
    "c2": "correct the second",
    SKIP: "skip",
    QUIT: "quit",
}
WIDE = 100  # columns from which two answers stand side by side

Pair = tuple[Any, Any]  # two `feedback.Answer`


def ask_pairs(
    store: Any, pairs: Iterable[Pair], done: int, total: int
) -> Iterator[str]:
    """Asks which of two answers is better; what is said is on disk at once.

    Which answer is shown first depends on their ids alone, not on which came
    first, and models are not named: neither should sway the choice.

    Args:
        store: A `FeedbackStore` that holds the answers.
        pairs: Pairs of answers to one prompt.
        done: How many were compared before, for the progress.
        total: How many there are with those.

    Yields:
        The key that decided each pair: "1", "2", "t" or "s". It ends with
        the pairs, or where the person quits.
    """
    console = Console()
    for number, pair in enumerate(pairs, start=done + 1):
        first, second = shuffled(pair)
        console.print(shown_pair(first, second, number, total, console.width))
        key = _decided(console, store, first, second)
        if key == QUIT:
            return
        if key == TIE:
            store.tie(first.id, second.id)
        if key in ("1", "2"):
            both = (first.id, second.id)
            store.choose(*(both if key == "1" else both[::-1]))
        yield key


def ask_labels(
    store: Any,
    texts: Sequence[str],
    classes: Sequence[str],
    done: int,
    **origin: str,
) -> Iterator[str]:
    """Asks for the class of each text; what is said is on disk at once.

    Args:
        store: A `FeedbackStore`.
        texts: What has no label yet, the most useful first.
        classes: Their names; a name or its number is understood.
        done: How many had a label before, for the progress.
        **origin: `annotator` and `source`, kept with each label.

    Yields:
        The label of each text, or "s" where it was skipped.
    """
    console = Console()
    numbers = not any(name.isdecimal() for name in classes)
    keys = {
        str(i) if numbers else name: name
        for i, name in enumerate(classes, start=1)
    }
    keys |= {SKIP: "skip", QUIT: "quit"}
    names = {name: name for name in classes}
    for number, text in enumerate(texts, start=done + 1):
        title = f"{number} of {done + len(texts)}"
        console.print(Panel(printable(text), title=title, title_align="left"))
        key = ask(console, keys, names)
        if key == QUIT:
            return
        label = keys.get(key, key)
        if key != SKIP:
            store.label(text, label, **origin)
        yield SKIP if key == SKIP else label


def ask(
    console: Console, keys: Mapping[str, str], names: Mapping[str, str]
) -> str:
    """Asks until a key or a name is typed; the end of the input is "q".

    Args:
        console: Where to ask.
        keys: Key to its meaning, which is shown.
        names: What else is understood -> what it stands for.

    Returns:
        A key, or what a name stands for.
    """
    line = Text("  ".join(f"[{key}] {what}" for key, what in keys.items()))
    while True:
        console.print(line, style="dim")
        said = read_line()
        if said is None:
            return QUIT
        said = said.strip()
        if said in names:
            return names[said]
        said = WORDS.get(said.lower(), said.lower())
        if said in keys:
            return said
        console.print(f"Expected one of {', '.join(keys)}.", markup=False)


def read_line() -> str | None:
    """Returns a line that was typed or piped in, None at the end."""
    try:
        return input("> ")
    except EOFError:
        print()  # what follows starts on a line of its own
        return None


def shuffled(pair: Pair) -> Pair:
    """Returns a pair in the order in which it is shown, always the same."""
    ids = sorted(one.id for one in pair)
    swap = zlib.crc32("\n".join(ids).encode()) % 2
    first, second = sorted(pair, key=lambda one: one.id, reverse=bool(swap))
    return first, second


def shown_pair(
    first: Any, second: Any, number: int, total: int, width: int
) -> Group:
    """Returns a prompt and two answers as panels, side by side if wide."""
    from keras_llm.feedback.answer import text_of

    prompt = Panel(
        printable(text_of(first.prompt)),
        title=f"{number} of {total}",
        title_align="left",
    )
    half = width // 2 - 1 if width >= WIDE else width
    answers = [
        Panel(printable(one.text), title=key, title_align="left", width=half)
        for key, one in (("1", first), ("2", second))
    ]
    return Group(prompt, Columns(answers, padding=(0, 1)))


def printable(text: str) -> Text:
    """Returns a text without markup, or codes that could steer a terminal.

    Example:

    >>> printable("[red]a\\x1b[2Jb").plain
    '[red]a\N{REPLACEMENT CHARACTER}[2Jb'
    """
    marks = ("\n", "\t")
    return Text(
        "".join(
            c if c.isprintable() or c in marks else "\N{REPLACEMENT CHARACTER}"
            for c in text
        )
    )


def _decided(console: Console, store: Any, first: Any, second: Any) -> str:
    """Asks until the pair is decided; a correction does not decide it."""
    while True:
        key = ask(console, PAIR_KEYS, {})
        if key not in ("c1", "c2"):
            return key
        console.print("What should it have been?")
        correction = read_line()
        if correction is None:
            return QUIT
        try:
            store.correct((first if key == "c1" else second).id, correction)
        except InputError as error:  # empty: asked again
            console.print(str(error), markup=False)
