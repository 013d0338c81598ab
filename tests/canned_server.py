"""A real HTTP server with answers made up beforehand."""

import contextlib
import http.server
import threading


@contextlib.contextmanager
def running(handler):
    """Runs a request handler on a free port of this machine."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
