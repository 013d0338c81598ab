"""A server that speaks the few words of the Hugging Face hub that we use.

Listing a repository, its files with their hashes, and the files with ranges.
It can hang up in the middle of a file, state wrong hashes, and refuse.
"""

import hashlib
import json
import socket
import threading
import urllib.parse
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT, OLD = "c0ffee" + "0" * 34, "0ddba11" + "0" * 33
LARGE = 1 << 12  # bytes from which a file is in large file storage


class Hub:
    """Repositories by name: folders whose files are served.

    Attributes:
        repos: Name -> folder.
        gated: Names that ask for a token.
        wrong: Name of a file whose hash is stated wrongly.
        hang_up: File name -> bytes after which the line is cut, once.
        sent: Bytes sent of each file, over all requests.
        down: Whether every request is answered with 503.
        down_after: What `down` is after the line was cut.
    """

    def __init__(self) -> None:
        self.repos: dict[str, Path] = {}
        self.gated: set[str] = set()
        self.wrong = ""
        self.hang_up: dict[str, int] = {}
        self.sent: Counter[str] = Counter()
        self.down = self.down_after = False
        handler = type("Handler", (_Handler,), {"hub": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def close(self) -> None:
        """Stops listening."""
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        if self.hub.down:
            return self._send(503, b"busy", body)
        path = urllib.parse.unquote(self.path.split("?")[0]).strip("/")
        words = path.split("/")
        if words[:2] == ["api", "models"]:
            repo, rest = "/".join(words[2:4]), words[4:]
        else:
            repo, rest = "/".join(words[:2]), words[2:]
        if repo not in self.hub.repos:
            return self._error("RepoNotFound", 401, body)
        folder = self.hub.repos[repo]
        revision = rest[1] if len(rest) > 1 else "main"
        if revision not in ("main", COMMIT):
            return self._error("RevisionNotFound", 404, body)
        if rest[:1] == ["resolve"]:
            if repo in self.hub.gated and "Authorization" not in self.headers:
                return self._error("GatedRepo", 401, body)
            return self._file(folder / "/".join(rest[2:]), body)
        if rest[:1] == ["tree"]:
            return self._json([self._entry(f) for f in folder.iterdir()], body)
        return self._json({"id": repo, "sha": COMMIT, "siblings": []}, body)

    def _hashes(self, file: Path) -> tuple[str, str | None]:
        data = file.read_bytes()
        blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        large = hashlib.sha256(data).hexdigest() if len(data) > LARGE else None
        if file.name == self.hub.wrong:
            blob, large = "0" * 40, large and "0" * 64
        return blob, large

    def _entry(self, file: Path) -> dict:
        if file.is_dir():
            return {"type": "directory", "path": file.name, "oid": "0" * 40}
        blob, large = self._hashes(file)
        size = file.stat().st_size
        entry = {"type": "file", "path": file.name, "oid": blob, "size": size}
        if large:
            entry["lfs"] = {"oid": large, "size": size, "pointerSize": 130}
        return entry

    def _file(self, file: Path, body: bool) -> None:
        if not file.is_file():
            return self._error("EntryNotFound", 404, body)
        blob, large = self._hashes(file)
        data, start = file.read_bytes(), 0
        headers = {
            "X-Repo-Commit": COMMIT,
            "ETag": f'"{large or blob}"',
            "Accept-Ranges": "bytes",
        }
        if asked := self.headers.get("Range"):
            start = int(asked.removeprefix("bytes=").split("-")[0])
            end = len(data) - 1
            headers["Content-Range"] = f"bytes {start}-{end}/{len(data)}"
        status = 206 if start else 200
        self._send(status, data[start:], body, headers, file.name)

    def _json(self, values: object, body: bool) -> None:
        headers = {"Content-Type": "application/json"}
        self._send(200, json.dumps(values).encode(), body, headers)

    def _error(self, code: str, status: int, body: bool) -> None:
        self._send(status, b"{}", body, {"X-Error-Code": code})

    def _send(
        self,
        status: int,
        data: bytes,
        body: bool,
        headers: dict[str, str] | None = None,
        name: str = "",
    ) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if not body:
            return
        cut = self.hub.hang_up.pop(name, None)
        data = data if cut is None else data[:cut]
        self.wfile.write(data)
        self.hub.sent[name] += len(data)
        if cut is not None:
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            self.hub.down = self.hub.down_after
