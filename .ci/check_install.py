"""Run in a fresh environment: does an install hold what it should?

Usage: python check_install.py {wheel,sdist,editable} CHECKOUT
"""

import importlib
import importlib.util
import sys
from pathlib import Path

kind, checkout = sys.argv[1], Path(sys.argv[2])
sys.path.remove(str(Path(__file__).parent))  # look as a user's script does

for name in ("keras_llm", "keras_llm.zoo", "keras_llm.export"):
    origin = Path(importlib.import_module(name).__file__ or "")
    from_checkout = origin.is_relative_to(checkout)
    if from_checkout != (kind == "editable"):
        sys.exit(f"{kind}: {name} comes from {origin}")
for name in ("zoo", "export", "tests", "benchmarks"):
    if importlib.util.find_spec(name):
        sys.exit(f"{kind}: `import {name}` works, it must not")
package = Path(importlib.import_module("keras_llm").__file__ or "").parent
if not (package / "py.typed").exists():
    sys.exit(f"{kind}: py.typed is missing")
page = Path(importlib.import_module("keras_llm.export").__file__ or "").parent
for name in ("chat.py.in", "Loop.kt.in", "README.tflite.in"):
    if not (page / "mobile" / name).exists():
        sys.exit(f"{kind}: the template {name} is missing")
page /= "server/playground"
for name in ("index.html", "style.css", "app.js", "icon.svg"):
    if not (page / name).exists():
        sys.exit(f"{kind}: the playground's {name} is missing")
for name in ("page/report.html", "tasks/copa.yaml", "bias/swaps.yaml"):
    if not (package / "evaluate" / name).exists():
        sys.exit(f"{kind}: the evaluation's {name} is missing")
print(f"{kind}: keras_llm, keras_llm.zoo and keras_llm.export are in {package}")
