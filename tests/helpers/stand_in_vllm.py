"""A program in place of vLLM's server: it is healthy at once, dies when it is told to, and computes nothing.

    python stand_in_vllm.py --model <folder> --port <port> …

The model `broken` can't be loaded, and `sleepy` never is.
"""

from __future__ import annotations

import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

STARTS = "STAND_IN_STARTS"
"""The environment variable with the path of a file to which each server adds its command line."""


def value_of(flag: str) -> str:
    return sys.argv[sys.argv.index(flag) + 1]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/die":
            print("WARNING of an OSError: that is none", flush=True)
            print("RuntimeError: no memory is left", flush=True)
            print("and a last line", flush=True)
            os._exit(7)
        allowed = self.headers["Authorization"] == f"Bearer {os.environ['VLLM_API_KEY']}"
        self.send_response(200 if self.path == "/health" or allowed else 401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def add_start() -> None:
    with Path(os.environ[STARTS]).open("a") as file:
        file.write(json.dumps({"pid": os.getpid(), "arguments": sys.argv[1:]}) + "\n")


if __name__ == "__main__":
    add_start()
    if Path(value_of("--model")).name == "broken":
        raise ValueError("these weights can't be read")
    while Path(value_of("--model")).name == "sleepy":
        time.sleep(0.1)
    ThreadingHTTPServer(("127.0.0.1", int(value_of("--port"))), Handler).serve_forever()
