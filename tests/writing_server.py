"""An OpenAI-compatible server whose answers a test makes up."""

import json
from collections.abc import Callable
from typing import Any

from test_judge_asking import Chats


def writing(answer: Callable[[str, dict[str, Any]], Any]) -> Any:
    """Returns a request handler; its `asked` are the bodies, in order.

    Args:
        answer: From a prompt and the request's body to the text; a number
            refuses the request with that status, a tuple is a text and why
            it ended.
    """

    class Writes(Chats):
        asked: list = []

        def do_POST(self):
            size = int(self.headers["Content-Length"])
            body = json.loads(self.rfile.read(size))
            self.asked.append(body)
            prompt = body["messages"][-1]["content"]
            found = answer(prompt, body)
            if isinstance(found, int):
                self.refuse(found)
                return
            text, why = found if isinstance(found, tuple) else (found, "stop")
            message = {"role": "assistant", "content": text}
            choice = {"index": 0, "finish_reason": why, "message": message}
            usage = {"prompt_tokens": 100, "completion_tokens": 10}
            usage["total_tokens"] = 110
            self.answer(
                {"id": "1", "model": "sage", "choices": [choice]}
                | {"usage": usage}
            )

        def refuse(self, status):
            content = b'{"error": {"message": "No, not this."}}'
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    return Writes
