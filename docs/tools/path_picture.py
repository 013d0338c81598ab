"""Draws the whole path, docs/path.svg: `python docs/tools/path_picture.py`.

It brings its own light card, so that it reads on light and dark pages, and its
letters are large for its width, so that it reads on a phone.
"""

import dataclasses
from pathlib import Path
from xml.sax.saxutils import escape

PICTURE = Path(__file__).resolve().parents[1] / "path.svg"
WIDTH, HEIGHT = 720, 578
EDGE, GAP = 24, 24
TOPS = (50, 238, 426)  # of the boxes of each row
BOX, BAND = 126, 36  # heights: of a box, of the title above it
DOWN = TOPS[1] - TOPS[0] - BOX  # from the boxes of a row to the next ones
INK = "#37474f"
LETTERS = 'font-family="system-ui, -apple-system, sans-serif"'
NARROW = ".fijlt"


@dataclasses.dataclass(frozen=True)
class Row:
    """A part of the path: its colours, and which way it goes."""

    title: str
    dark: str
    light: str
    backwards: bool = False


@dataclasses.dataclass(frozen=True)
class Step:
    """A box: what is done, and lines of words or of chips about it."""

    name: str
    width: int
    lines: tuple[str, ...] = ()
    chips: tuple[tuple[str, ...], ...] = ()


PATH = {
    Row("Data", "#00695c", "#e0f2f1"): (
        Step("raw text", 150, ("files, web", "pages, books")),
        Step("curate", 150, ("clean, filter,", "deduplicate")),
        Step("tokenize", 150, ("byte-level", "BPE")),
        Step("pack", 150, ("full rows", "of tokens")),
    ),
    Row("Model", "#3949ab", "#e8eaf6", backwards=True): (
        Step("train", 150, ("one device", "or many")),
        Step(
            "fine-tune",
            308,
            chips=(("text", "chat", "classify"), ("prefer", "grpo")),
        ),
        Step("evaluate", 166, ("losses, tasks,", "one report")),
    ),
    Row("Use", "#bf360c", "#fbe9e7"): (
        Step(
            "quantize, export",
            394,
            chips=(("SavedModel", "LiteRT"), (".litertlm", "Hugging Face")),
        ),
        Step("serve", 254, ("OpenAI's API,", "a playground")),
    ),
}

HEAD = f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" \
width="{WIDTH}" height="{HEIGHT}" role="img" aria-labelledby="title" {LETTERS}>
<title id="title">{{title}}</title>
<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="13" \
markerHeight="13" markerUnits="userSpaceOnUse" orient="auto">\
<path d="M0 0L10 5L0 10z" fill="{INK}"/></marker></defs>
<rect x="1" y="1" width="{WIDTH - 2}" height="{HEIGHT - 2}" rx="16" \
fill="#ffffff" stroke="#b0bec5" stroke-width="2"/>"""


def picture() -> str:
    """Returns the SVG."""
    names = (step.name for steps in PATH.values() for step in steps)
    parts = [HEAD.format(title="The path: " + ", ".join(names))]
    for (row, steps), top in zip(PATH.items(), TOPS, strict=True):
        parts += draw_row(row, steps, top)
    for x, top in ((621, TOPS[0]), (107, TOPS[1])):
        parts.append(arrow(x, top + BOX, x, top + BOX + DOWN))
    parts += [
        arrow(482, TOPS[2], 482, TOPS[1] + BOX, "6 5"),
        words("feedback", 494, TOPS[2] - 11, 19, INK),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def draw_row(row: Row, steps: tuple[Step, ...], top: int) -> list[str]:
    """A band with its title, and the boxes with arrows between them."""
    parts = [
        box(12, top - BAND, WIDTH - 24, BOX + BAND + 12, row.light),
        words(row.title, EDGE + 2, top - 10, 20, row.dark, 700),
    ]
    x = EDGE
    for step in steps[::-1] if row.backwards else steps:
        if x > EDGE:
            ends = (x, x - GAP) if row.backwards else (x - GAP, x)
            parts.append(arrow(ends[0], top + BOX / 2, ends[1], top + BOX / 2))
        parts += draw_step(step, row, x, top)
        x += step.width + GAP
    return parts


def draw_step(step: Step, row: Row, x: float, top: float) -> list[str]:
    """A box with its name, and the lines or chips below it."""
    middle = x + step.width / 2
    parts = [
        box(x, top, step.width, BOX, "#ffffff", row.dark),
        words(step.name, middle, top + 35, 25, row.dark, 700, "middle"),
    ]
    for line, text in enumerate(step.lines):
        y = top + 71 + 27 * line
        parts.append(words(text, middle, y, 20, INK, anchor="middle"))
    for line, chips in enumerate(step.chips):
        wide = [chip_width(chip) for chip in chips]
        left = middle - (sum(wide) + 8 * (len(wide) - 1)) / 2
        for chip, width in zip(chips, wide, strict=True):
            y = top + 49 + 36 * line
            parts.append(box(left, y, width, 31, row.light))
            at = (left + width / 2, y + 22)
            parts.append(words(chip, *at, 20, INK, anchor="middle"))
            left += width + 8
    return parts


def chip_width(chip: str) -> float:
    """Room for a chip, in whatever font: rather too much than too little."""
    narrow = sum(letter in NARROW for letter in chip)
    return 20 + 20 * (0.38 * narrow + 0.64 * (len(chip) - narrow))


def box(
    x: float, y: float, width: float, height: float, fill: str, line: str = ""
) -> str:
    """A rectangle with round corners."""
    stroke = f' stroke="{line}" stroke-width="2"' if line else ""
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" '
        f'rx="9" fill="{fill}"{stroke}/>'
    )


def words(
    text: str,
    x: float,
    y: float,
    size: int,
    colour: str,
    weight: int = 400,
    anchor: str = "start",
) -> str:
    """A line of text on the base line `y`."""
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size}" font-weight="{weight}" '
        f'text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'
    )


def arrow(
    x: float, y: float, to_x: float, to_y: float, dashes: str = ""
) -> str:
    """A straight arrow, with dashes and gaps of these lengths."""
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return (
        f'<path d="M{x:g} {y:g}L{to_x:g} {to_y:g}" stroke="{INK}" '
        f'stroke-width="3" marker-end="url(#tip)"{dashed}/>'
    )


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
