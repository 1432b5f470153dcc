"""Serve a record over HTTP: a fast cold start, other weights under traffic.

python serve.py net.mpk 8000
curl -d '[[0.1, 0.2, 0.3, 0.4]]' localhost:8000
kill -HUP <process>       # reads the file again, while requests go on
kill -TERM <process>      # answers what has begun, then ends
"""

import json
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import torch
from torch import nn

import burnish


class Net(burnish.Module):
    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, width), nn.Linear(width, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


class Server(ThreadingHTTPServer):
    def __init__(self, file: str, port: int) -> None:
        self.file = file
        self.net = Net.from_record(file).eval()  # built without init, mapped
        super().__init__(("127.0.0.1", port), Handler)

    def reload(self) -> None:
        """Exchange the module, or keep the old one if the file is not fine."""
        try:
            # Requests that began go on with the old module: nobody changes it.
            self.net = Net.from_record(self.file).eval()
            print("reloaded", flush=True)
        except (burnish.records.RecordError, OSError) as error:
            print(f"not reloaded: {error}", flush=True)


class Handler(BaseHTTPRequestHandler):
    server: Server  # pyright: ignore[reportIncompatibleVariableOverride]  # ours

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        net = self.server.net  # one reference for the whole request
        with torch.inference_mode():
            answer = net(torch.tensor(json.loads(body))).tolist()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, format: str, *args: Any) -> None:
        pass


def main(file: str, port: int = 8000) -> None:
    """Serve ``file`` until SIGTERM; 0 is any free port."""
    server = Server(file, port)
    # From threads: a handler runs between two lines of the loop, and must not wait.
    for number, act in (
        (signal.SIGHUP, server.reload),
        (signal.SIGTERM, server.shutdown),
    ):
        signal.signal(number, lambda *_, act=act: threading.Thread(target=act).start())
    print(f"serving {file} on port {server.server_port}", flush=True)
    with server:
        server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
