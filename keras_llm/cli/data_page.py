"""A packed row as one HTML file: no script, no request."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_llm.cli.data_tokens import Speller
from keras_llm.files import write_text

if TYPE_CHECKING:
    from keras_llm.data import RowView

# Escaped by jinja2, whatever the text of a corpus holds.
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; style-src 'unsafe-inline'">
<title>{{ title }}</title>
<style>
:root { color-scheme: light dark; --a: #cfe5f3; --b: #fbe3b5; --quiet: #666;
  --special: #8b3a62; --line: #ddd; --padding: #ccc; }
@media (prefers-color-scheme: dark) { :root { --a: #1f4a63; --b: #5a4312;
  --quiet: #aaa; --line: #444; --padding: #555; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem;
  margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.05rem; margin-bottom: .3rem; }
p { margin: .3rem 0; } .quiet { color: var(--quiet); }
.tokens { font: 15px/1.9 ui-monospace, monospace; white-space: pre-wrap;
  overflow-wrap: anywhere; }
.tokens span { padding: .15rem 0; border-radius: .15rem; }
.a { background: var(--a); } .b { background: var(--b); }
.special { background: var(--special); color: #fff; }
.first { text-decoration: underline; text-underline-offset: .3rem; }
.padding { height: 1.4rem; background: repeating-linear-gradient(45deg,
  var(--padding) 0 6px, transparent 6px 12px); }
.scroll { overflow-x: auto; } table { border-collapse: collapse; }
th, td { padding: .1rem .7rem; text-align: right;
  border-bottom: 1px solid var(--line); }
th:last-child, td:last-child { text-align: left; white-space: pre;
  font-family: ui-monospace, monospace; }
</style>
</head>
<body>
<h1>{{ title }}</h1>
<p>{{ about }}</p>
<p class="tokens"><span class="a">token</span> <span
class="b">token</span> <span class="special">special token</span> <span
class="a first">predicted by nothing</span></p>
{%- for part in parts %}
<h2>{{ part.heading }}</h2>
<div class="tokens">
{%- for token in part.tokens -%}
<span class="{{ token.kind }}" title="{{ token.hint }}">{{ token.text }}</span>
{%- if token.ends_line %}
{% endif %}
{%- endfor -%}
</div>
<details><summary class="quiet">Numbers</summary>
<div class="scroll" tabindex="0" role="region" aria-label="{{ part.heading }}">
<table><thead><tr><th scope="col">place</th><th scope="col">segment</th>
<th scope="col">position</th><th scope="col">weight</th><th scope="col">id</th>
<th scope="col">token</th></tr></thead><tbody>
{%- for token in part.tokens %}
<tr>{% for number in token.numbers %}<td>{{ number }}</td>{% endfor -%}
<td>{{ token.text }}</td></tr>
{%- endfor %}
</tbody></table></div></details>
{%- endfor %}
{%- if padding %}
<h2>Padding, {{ padding }} places</h2>
<div class="padding" role="img" aria-label="Padding"></div>
{%- endif %}
</body>
</html>
"""


def write_page(
    path: Path, rows: Any, view: "RowView", speller: Speller
) -> None:
    """Writes a row as a page, whole or not at all.

    Args:
        path: The file.
        rows: From `open_rows`.
        view: The row.
        speller: Of its tokens.
    """
    import jinja2

    from keras_llm.cli.data_inspect import heading, summary

    page = jinja2.Environment(autoescape=True).from_string(_PAGE)
    text = page.render(
        title=f"Row {view.index} of {rows.name}",
        about=summary(rows.name, len(rows), view),
        parts=[
            {
                "heading": heading(number, part),
                "tokens": [
                    _token(place, turn, speller)
                    for turn, place in enumerate(part.places)
                ],
            }
            for number, part in enumerate(view.parts, start=1)
        ],
        padding=view.padding,
    )
    write_text(path, text + "\n")


def _token(place: Any, turn: int, speller: Speller) -> dict[str, Any]:
    """Returns what the page shows of a token."""
    text, special = speller.text(place.token), speller.special(place.token)
    kind = "special" if special else "ab"[turn % 2]
    numbers = {
        "place": place.index,
        "segment": place.segment,
        "position": place.position,
        "weight": place.weight,
        "id": place.token,
    }
    return {
        "text": f" {text} " if text == str(place.token) else text,
        "kind": kind if place.weight else f"{kind} first",
        "hint": ", ".join(f"{name} {n}" for name, n in numbers.items()),
        "numbers": numbers.values(),
        "ends_line": text.endswith("⏎"),
    }
