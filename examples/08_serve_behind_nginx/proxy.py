"""A reverse proxy of a few lines, for a try where there is no nginx.

    python proxy.py PORT SERVER_PORT

It passes requests on and answers back as they come. No TLS, no limits: not for
other people.
"""

import http.client
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BLOCK = 1 << 16


class Proxy(BaseHTTPRequestHandler):
    """Passes one request on, and its answer back."""

    behind = 0  # the server's port

    def do_GET(self) -> None:
        """Asks the server what the client asks."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        server = http.client.HTTPConnection("127.0.0.1", self.behind)
        try:
            server.request(self.command, self.path, body, dict(self.headers))
            answer = server.getresponse()
        except OSError:
            self.send_error(502)
            return
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.getheader("Content-Type", ""))
        self.end_headers()  # HTTP/1.0: the end is where the connection ends
        while part := answer.read1(BLOCK):
            self.wfile.write(part)
        server.close()

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        """Says nothing."""


def main() -> None:
    """Listens until it is ended."""
    port, Proxy.behind = map(int, sys.argv[1:])
    ThreadingHTTPServer(("127.0.0.1", port), Proxy).serve_forever()


if __name__ == "__main__":
    main()
