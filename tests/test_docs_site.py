"""The site: every page is in it, every name and message has its place."""

import ast
import dataclasses
import importlib
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import typer
import yaml
from commands import check, commands_of, lines_of
from errors_page import MARK, anchors_of, messages, page, raised, shown
from sources import ROOT, source_files

from keras_llm import DecoderConfig, InputError, Rope
from keras_llm.cli import app

pytest.importorskip("mkdocs", reason="mkdocs is not installed (extra docs)")
sys.path.insert(0, str(ROOT / "docs" / "tools"))
api = importlib.import_module("api_pages")
docstrings = importlib.import_module("docstrings")
hooks = importlib.import_module("hooks")
sources = importlib.import_module("source_pages")
commands = importlib.import_module("command_page")
settings = importlib.import_module("settings_page")
path_picture = importlib.import_module("path_picture")

SITE = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
PAGES = [
    path.relative_to(ROOT / "docs").as_posix()
    for path in sorted((ROOT / "docs").rglob("*.md"))
]
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
CLOUD = ROOT / "examples" / "cloud"
CALLED = re.compile(
    r"^ *(?:srun |KERAS_BACKEND=\w+ )?(keras-llm (?:.*\\\n)*[^&'\n]*)",
    re.MULTILINE,
)


# === Error messages ===


def test_the_page_of_errors_is_what_the_source_says():
    now = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    assert now == page(), "Run: python tests/errors_page.py > docs/errors.md"


def test_every_place_that_makes_an_error_has_a_message():
    calls = sum(
        len(re.findall(r"\b(?:InputError|ExportError)\(\s*[^)\s]", text))
        for path in source_files()
        for text in [path.read_text(encoding="utf-8")]
    )
    made = sum(
        isinstance(node, ast.Call)
        and ast.unparse(node.func) in ("InputError", "ExportError")
        for path in source_files()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    )
    assert 0.9 * calls < made <= len(messages())


def test_every_message_has_an_anchor_of_its_own():
    found = re.findall(r'<a id="([^"]+)"', page())
    assert len(found) == len(set(found)) > 900
    assert len(found) == len({message.text for message in messages()})


def test_an_anchor_does_not_depend_on_the_other_messages():
    alone = anchors_of({"Expected \0x\0 above zero.": 1})
    both = anchors_of({"Expected \0x\0 above zero.": 1, "Expected wood.": 1})
    assert alone.items() <= both.items()
    assert set(both.values()) == {"expected-above-zero", "expected-wood"}


@pytest.mark.parametrize(
    "mistake",
    [
        lambda: Rope(scaling="yarn"),
        lambda: Rope(theta=-1.0),
        lambda: DecoderConfig.from_dict({"wheels": 4}),
        lambda: DecoderConfig.load("nowhere.json"),
    ],
)
def test_a_message_that_was_met_is_found(mistake):
    with pytest.raises(InputError) as met:
        mistake()
    forms = ["".join(_pattern(m.text)) for m in messages()]
    said = " ".join(str(met.value).split())
    assert any(re.fullmatch(form, said) for form in forms)


def _pattern(text):
    for number, part in enumerate(MARK.split(text)):
        yield ".*" if number % 2 else re.escape(part)


@pytest.mark.parametrize(
    ("source", "texts"),
    [
        ('raise InputError("Expected a. " "Got b.")', ["Expected a. Got b."]),
        ('raise InputError(f"Not {a.b} or {c}.")', ["Not *b* or *c*."]),
        ('raise InputError("A" + ("b." if x else "c."))', ["Ab.", "Ac."]),
        ('def f(): return "Said."\nraise ExportError(f())', ["Said."]),
        ('raise InputError(", ".join(x))', ["*...*"]),
        ('raise ValueError("Not ours.")', []),
    ],
)
def test_the_words_of_a_message_are_read_off_the_source(source, texts):
    found = [shown(text) for _, text in raised(ast.parse(source))]
    assert found == texts


# === Pages that are made ===


@pytest.fixture(scope="module")
def reference() -> dict[str, str]:
    return api.api_pages()


@pytest.mark.parametrize("name", api.page_names())
def test_every_public_name_has_an_entry(name, reference):
    module = importlib.import_module(name)
    text = reference[api.address(name)]
    missing = [
        inner
        for inner in getattr(module, "__all__", api.promised(module))
        if not re.search(rf"(#|id=.){re.escape(name)}\.{inner}[ \"]", text)
        and f"{name}.{inner}" not in api.page_names()
    ]
    assert not missing
    assert f"]({api.address(name)[4:]})" in reference["api/index.md"]


def test_an_entry_says_what_the_code_says(reference):
    text = reference["api/data.md"]
    start = text.index("{: #keras_llm.data.pack ")
    entry = text[start : text.index("\n## ", start)]
    assert "    row_length: int,\n" in entry
    assert ") -> Iterator[Row]" in entry
    assert "- `eos_id`: Token put after each document; None for none." in entry
    assert "```pycon\n>>> rows = list(pack(" in entry
    assert "*Defined in `keras_llm.data.pack`.*" in entry


def test_a_class_shows_its_fields_and_methods(reference):
    text = reference["api/keras_llm.md"]
    assert "    hidden_dim: int" in text
    assert "{: #keras_llm.CausalLM.generate " in text
    assert "{: #keras_llm.DecoderConfig.from_dict " in text  # of its base
    assert "def __init__" not in text and "_generators" not in text


def test_every_verb_and_option_is_on_the_page_of_commands():
    text = commands.command_page()
    group = typer.main.get_command(app)
    for name, command in commands_of(group).items():
        section = text.split(f"# {name}\n", 1)[1].split("\n##", 1)[0]
        options = {
            option
            for parameter in command.params
            if not getattr(parameter, "hidden", False)
            for option in parameter.opts
            if option.startswith("-")
        }
        missing = [option for option in options if option not in section]
        assert not missing, f"{name}: {missing}"


@pytest.mark.parametrize("path", settings.RECORDS)
def test_every_field_of_a_record_is_explained(path):
    module, name = path.rsplit(".", 1)
    record = getattr(importlib.import_module(module), name)
    rows = {row[0]: row for row in settings.fields_of(record)}
    fields = {field.name for field in dataclasses.fields(record)}
    assert set(rows) == fields
    assert not [field for field, row in rows.items() if not row[3]]


def test_docstrings_become_markdown():
    text = docstrings.markdown(
        "Adds.\n\nIt is <fast>, `a<b>` too.\n\nArgs:\n    low, high: From\n"
        "        and to.\n\nSource: A book.\n\nExample:\n\n>>> 1 + 1\n2\n"
    )
    assert "It is &lt;fast>, `a<b>` too." in text
    assert "**Args**\n\n- `low, high`: From and to." in text
    assert "**Source**\n\nA book." in text
    assert "```pycon\n>>> 1 + 1\n2\n```" in text


def test_links_out_of_docs_lead_to_pages_of_the_site():
    text = "[a](../LOG.md#x), [b](zoo.md), `[c](../LOG.md)`, [d](https://e.f)"
    found = sources.site_links(text, ROOT / "docs" / "a.md", ROOT)
    assert found == text.replace("](../LOG.md#x)", "](source/LOG.md#x)", 1)
    log = sources.site_links("[s](docs/zoo.md)", ROOT / "LOG.md", ROOT)
    assert log == "[s](../zoo.md)"


# === The whole ===


def test_every_page_is_in_the_nav_once():
    nav = list(hooks.leaves(SITE["nav"]))
    made = {"api/index.md", *map(api.address, api.page_names())}
    source = [name for name in nav if name.startswith("source/")]
    expanded = [
        *hooks.leaves(
            hooks.expand(SITE["nav"], sorted({*PAGES, *made} - {*nav}))
        )
    ]
    assert sorted(expanded) == sorted({*PAGES, *made, *source})
    assert {
        sources.page_address(path, ROOT).as_posix() for path in hooks.PROJECT
    } == set(source)


def test_a_section_without_pages_is_left_out():
    nav = [{"Learn": [{"Notebooks": ["notebooks/*.md"]}]}, "index.md"]
    assert hooks.expand(nav, []) == ["index.md"]
    assert hooks.expand(nav, ["notebooks/a.md"]) == [
        {"Learn": [{"Notebooks": ["notebooks/a.md"]}]},
        "index.md",
    ]


def test_the_picture_of_the_path_is_what_its_script_draws():
    now = path_picture.PICTURE.read_text(encoding="utf-8")
    assert now == path_picture.picture(), (
        "Run: python docs/tools/path_picture.py"
    )


@pytest.mark.parametrize("path", sorted(CLOUD.glob("*")), ids=lambda p: p.name)
def test_the_recipes_for_clouds_are_understood(path):
    text = path.read_text(encoding="utf-8")
    if path.suffix in (".sh", ".slurm"):
        subprocess.run(["bash", "-n", str(path)], check=True)
    if path.suffix == ".yaml":
        assert all(part["kind"] for part in yaml.safe_load_all(text))
    for line in lines_of("\n".join(CALLED.findall(text))):
        check(re.sub(r"\$\{\w+:-(.*?)\}", r"\1", line).rstrip("& "))


def test_the_recipes_call_the_library():
    calling = [
        path.name
        for path in CLOUD.glob("*")
        if CALLED.search(path.read_text(encoding="utf-8"))
    ]
    assert sorted(calling) == ["tpu_vm.sh", "train.slurm", "train.yaml"]
    text = (CLOUD / "serve.yaml").read_text(encoding="utf-8")
    pod = [*yaml.safe_load_all(text)][1]["spec"]["template"]["spec"]
    check(" ".join(pod["containers"][0]["args"]))


def test_the_job_of_kubernetes_names_all_its_hosts():
    text = (CLOUD / "train.yaml").read_text(encoding="utf-8")
    service, job = yaml.safe_load_all(text)
    pod = job["spec"]["template"]["spec"]
    [container] = pod["containers"]
    given = {item["name"]: item["value"] for item in container["env"]}
    port = container["ports"][0]["containerPort"]
    assert given["KERAS_LLM_HOSTS"].split(",") == [
        f"{job['metadata']['name']}-{index}.{service['metadata']['name']}:{port}"
        for index in range(job["spec"]["completions"])
    ]
    assert job["spec"]["completions"] == job["spec"]["parallelism"]
    assert pod["subdomain"] == service["metadata"]["name"]
    assert service["spec"]["selector"]["job-name"] == job["metadata"]["name"]


class Page(HTMLParser):
    """What a built page links to, loads, and can be linked to at."""

    def __init__(self, path: Path):
        super().__init__()
        self.links, self.loaded, self.ids = [], [], set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.ids |= {given.get("id"), given.get("name")}
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        elif given.get("src") or tag == "link" and given.get("href"):
            self.loaded.append(given.get("src") or given["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("built") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict"]
    subprocess.run([*command, "--site-dir", str(out)], cwd=ROOT, check=True)
    return out


@pytest.fixture(scope="module")
def built(site) -> dict[Path, Page]:
    return {path: Page(path) for path in site.rglob("*.html")}


@pytest.mark.slow
def test_no_link_of_the_site_is_broken(built):
    assert len(built) > 80
    broken = [
        f"{path.name}: {link}"
        for path, read in built.items()
        if path.name != "404.html"  # its links are those of a server's root
        for link in [*read.links, *read.loaded]
        if not urlsplit(link).scheme and not leads_somewhere(link, path, built)
    ]
    assert not broken


def leads_somewhere(link: str, path: Path, built: dict[Path, Page]) -> bool:
    parts = urlsplit(link)
    target = path.parent / unquote(parts.path) if parts.path else path
    target = target.resolve()
    target = target / "index.html" if target.is_dir() else target
    if parts.fragment and target in built:
        return unquote(parts.fragment) in built[target].ids
    return target.exists()


@pytest.mark.slow
def test_the_site_loads_nothing_from_the_web(site, built):
    loaded = {name for read in built.values() for name in read.loaded}
    assert loaded and not [name for name in loaded if "//" in name]
    for style in site.rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        assert not re.findall(r"(?:url\(|@import)[\s\"'(]*https?:", text)


@pytest.mark.slow
@pytest.mark.parametrize("name", api.page_names())
def test_every_public_name_can_be_linked_to(name, site, built):
    page = built[site / api.address(name).replace(".md", ".html")]
    for inner in api.promised(importlib.import_module(name)):
        path = f"{name}.{inner}"
        assert path in page.ids or path in api.page_names(), path


@pytest.mark.slow
def test_the_site_is_searched_without_a_server(site):
    started = pytest.importorskip("playwright.sync_api").sync_playwright
    if not Path(CHROMIUM).exists():
        pytest.skip(f"No Chromium at {CHROMIUM}.")
    with started() as driver:
        browser = driver.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page()
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto((site / "index.html").as_uri())
        page.keyboard.press("/")
        page.keyboard.type("near_duplicates", delay=50)
        found = page.locator(".md-search-result__link").first
        found.wait_for(timeout=60_000)
        assert "api/data.html" in found.get_attribute("href")
        browser.close()
    assert not [url for url in asked if url.startswith("http")]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["first_model.md", "decoder.md"])
def test_the_python_of_a_new_page_runs(name, tmp_path):
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    script = "\n".join(re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S))
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
