"""Tries keras-llm.conf here: a server, nginx before it, and questions to it.

    python try_it.py [MODEL]

MODEL is what `keras-llm serve` takes (default: runs/mine/model, from 01). It
needs no root and changes nothing: both listen on free ports of this machine.
Where nginx is missing, proxy.py stands in. Half a minute; what comes out are
answers through the proxy, whole and in parts, and a refusal without the token.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).parent
TOKEN, QUIET = "secret", subprocess.DEVNULL
# What a whole nginx.conf has around a file of conf.d, without root.
AROUND = """daemon off; pid {folder}/pid; error_log stderr crit; events {{}}
http {{ access_log off; {paths}
{server} }}"""
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        return one.getsockname()[1]


def proxy_command(folder: Path, port: int, model_port: int) -> list[str]:
    """nginx with keras-llm.conf, or proxy.py."""
    if not (nginx := shutil.which("nginx")):
        print("nginx is not installed; proxy.py stands in")
        ports = (str(port), str(model_port))
        return [sys.executable, str(HERE / "proxy.py"), *ports]
    server = (HERE / "keras-llm.conf").read_text("utf-8")
    server = server.replace("127.0.0.1:8000", f"127.0.0.1:{model_port}")
    server = server.replace("listen 80;", f"listen 127.0.0.1:{port};")
    paths = [f"{name}_temp_path {folder}/{name};" for name in TEMPORARY]
    whole = AROUND.format(folder=folder, paths=" ".join(paths), server=server)
    (folder / "nginx.conf").write_text(whole, "utf-8")
    return [nginx, "-p", str(folder), "-c", "nginx.conf", "-e", "stderr"]


def ask(address: str, token: str = TOKEN, **body: object) -> list[str]:
    """The texts of an answer: one, or one for each part that streams."""
    request = urllib.request.Request(
        f"{address}/v1/completions",
        json.dumps({"prompt": "It was a", "max_tokens": 24, **body}).encode(),
        {"Authorization": f"Bearer {token}"},
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        lines = [line.decode().removeprefix("data: ") for line in answer]
    parts = [json.loads(line) for line in lines if line.startswith("{")]
    return [part["choices"][0]["text"] for part in parts if part["choices"]]


def wait_for(address: str, seconds: float = 120) -> None:
    """Waits until the server answers through the proxy."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(f"{address}/health", timeout=5).close()
            return
        except OSError:  # nobody listens yet, or the proxy says 502
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def main() -> None:
    """Starts both, asks, and ends them."""
    model = sys.argv[1] if sys.argv[1:] else "runs/mine/model"
    port, model_port = free_port(), free_port()
    serve = shutil.which("keras-llm", path=str(Path(sys.executable).parent))
    server = [serve or "keras-llm", "serve", model, "--port", str(model_port)]
    environment = {**os.environ, "KERAS_LLM_TOKEN": TOKEN}
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(server, env=environment, stdout=QUIET) as first,
        subprocess.Popen(proxy_command(Path(folder), port, model_port)) as last,
    ):
        try:
            address = f"http://127.0.0.1:{port}"
            wait_for(address)
            print("whole:", ask(address, seed=1))
            print("parts:", ask(address, seed=1, stream=True))
            try:
                ask(address, token="guessed")
            except urllib.error.HTTPError as error:
                print("without the token:", error.code)
        finally:
            for process in (last, first):
                process.terminate()


if __name__ == "__main__":
    main()
