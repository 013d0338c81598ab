"""A hub of data sets on this machine: `hub_server`'s, for another kind."""

from pathlib import Path
from typing import Any

from hub_server import Hub, _Handler

BRANCH = "refs%2Fconvert%2Fparquet"


class _Datasets(_Handler):
    """Takes the paths of data sets, and lists folders within folders."""

    def _answer(self, body: bool) -> None:
        for theirs, ours in (
            ("/api/datasets/", "/api/models/"),
            ("/datasets/", "/"),
            (BRANCH, "main"),
        ):
            self.path = self.path.replace(theirs, ours, 1)
        words = self.path.split("?")[0].strip("/").split("/")
        folder = self.hub.repos.get("/".join(words[2:4]))
        if words[4:5] == ["tree"] and folder and not self.hub.down:
            self._json(_listed(self, folder), body)
        else:
            super()._answer(body)


def _listed(handler: _Handler, folder: Path) -> list[dict[str, Any]]:
    return [
        handler._entry(file) | {"path": file.relative_to(folder).as_posix()}
        for file in sorted(folder.rglob("*"))
    ]


def dataset_hub() -> Hub:
    """Returns a running hub whose repositories are data sets."""
    hub = Hub()
    hub.server.RequestHandlerClass = type(
        "Datasets", (_Datasets,), {"hub": hub}
    )
    return hub
