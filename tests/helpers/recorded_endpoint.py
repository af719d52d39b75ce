"""Local servers that speak the OpenAI interface: one that answers by a function, one that replays recorded episodes.

    with recorded_endpoint(demonstrations(world, ["strong"], "train", seed=0)) as endpoint:
        policy = load_policy(f"openai:{endpoint.url}#gpt-recorded", PolicySettings(format="chat"))

The replaying server knows an episode by its first observation and how far it is by the actions and the page that
follow, so that it answers whatever prompt, one-shot example or format goes before: messages and plain text, growing
dialogues and those that show the last page alone.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from eefcore.types import Trajectory


class Received(NamedTuple):
    """A request as the server received it."""

    path: str
    body: dict[str, Any]
    headers: Mapping[str, str]


class Answer(NamedTuple):
    """What the server sends back; a body that is not bytes is sent as JSON."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = {}


class Endpoint:
    """A server on this machine, started in a `with` block; `url` ends in /v1, and `requests` are all that came."""

    def __init__(self, answer: Callable[[Received], Answer]) -> None:
        self.requests: list[Received] = []
        self.answer = answer
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def url(self) -> str:
        """Return the base URL, as `openai:<base url>#<model>` names it."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> Endpoint:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                received = Received(self.path, body, dict(self.headers))
                endpoint.requests.append(received)
                answer = endpoint.answer(received)
                content = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
                try:
                    self.send_response(answer.status)
                    for name, value in {**answer.headers, "Content-Length": str(len(content))}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(content)
                except (BrokenPipeError, ConnectionResetError):
                    pass  # the client has given up

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def completion(
    received: Received, text: str | None, finish_reason: str | None = "stop", **message: Any
) -> Answer:
    """Return a completion in the shape that the request asks for, with a word counted as a token."""
    choice: dict[str, Any] = {"index": 0, "finish_reason": finish_reason}
    if "messages" in received.body:
        choice["message"] = {"role": "assistant", "content": text, **message}
    else:
        choice["text"] = text
    usage = {
        "prompt_tokens": len(prompt_text(received.body).split()),
        "completion_tokens": len((text or "").split()),
    }
    return Answer({"model": received.body["model"], "choices": [choice], "usage": usage})


def prompt_text(body: Mapping[str, Any]) -> str:
    """Return all that the model reads, as one text."""
    if "messages" not in body:
        return str(body["prompt"])
    contents = (message["content"] for message in body["messages"])
    texts = ([c] if isinstance(c, str) else [part.get("text", "") for part in c] for c in contents)
    return "\n".join(text for parts in texts for text in parts)


def recorded_endpoint(trajectories: Sequence[Trajectory]) -> Endpoint:
    """Return a server that plays each task as it was played in `trajectories`; of several of a task the first counts.

    A dialogue that was not recorded is refused with status 400, which ends a stage with the server's words.
    """
    episodes = sorted(
        {t.task_id: t for t in reversed(trajectories)}.values(),
        key=lambda t: -len(t.history.at(0).observation),
    )

    def answer(received: Received) -> Answer:
        text = prompt_text(received.body)
        for episode in episodes:
            step = recorded_step(episode, text)
            if step is not None and step < len(episode):
                action = episode.actions[step]
                for stop in received.body.get("stop") or ():
                    action = action.partition(stop)[0]
                return completion(received, action)
        return Answer({"error": {"message": f"this dialogue was not recorded: …{text[-200:]}"}}, 400)

    return Endpoint(answer)


def recorded_step(episode: Trajectory, text: str) -> int | None:
    """Return t of the recorded h_t that `text` shows; None if it shows no part of the episode."""
    first = episode.history.at(0).observation.strip()
    start = text.rfind(first)  # a one-shot example goes before the task
    if start < 0:
        return None
    at, found = start + len(first), 0
    for i, action in enumerate(episode.actions, start=1):
        at = text.find(action.strip(), at)
        if at < 0:
            break
        at += len(action.strip())
        if text.find(episode.history.at(i).observation.strip(), at) >= 0:
            found = i
    return found
