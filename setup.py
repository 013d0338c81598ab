"""Maps the two root folders `zoo` and `export` into the package.

They are edited at the root and installed as `keras_llm.zoo` and
`keras_llm.export`; site-packages never sees a bare `zoo` or `export`.
A folder of data inside them (`zoo/recipes`) needs an `__init__.py` too, or the
build warns and later leaves it out. All else is declared in pyproject.toml.
"""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["keras_llm", "keras_llm.*"]),
        "keras_llm.zoo",
        *("keras_llm.zoo." + name for name in find_packages("zoo")),
        "keras_llm.export",
        *("keras_llm.export." + name for name in find_packages("export")),
    ],
    package_dir={
        "keras_llm.zoo": "zoo",
        "keras_llm.export": "export",
    },
)
