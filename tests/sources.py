"""Where the source files are, and what each is called once installed."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("keras_llm", "zoo", "export")


def source_files() -> list[Path]:
    """Returns every Python file of the library, in a fixed order."""
    return [
        path
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
    ]


def module_name(path: Path) -> str:
    """zoo/gpt2.py -> keras_llm.zoo.gpt2; tests/x.py -> tests.x."""
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    if parts[0] in ("zoo", "export"):
        parts.insert(0, "keras_llm")
    if parts[-1] == "__init__":
        parts.pop()
    return ".".join(parts)
