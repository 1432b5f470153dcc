"""The recipes run as they are, are short, and do what they say."""

import importlib
import json
import os
import signal
import threading
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from burnish.optim import engine_report

from ..fresh_processes import FreshProcess

RECIPES = Path(__file__).parents[2] / "examples" / "recipes"
FILES = sorted(RECIPES.glob("*.py"))


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Return what imports a recipe, with an empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(RECIPES))
    warnings.simplefilter("ignore")
    return importlib.import_module


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_recipe_is_short_and_in_the_index(file: Path) -> None:
    assert len(file.read_text().splitlines()) < 80
    assert f"`{file.name}`" in (RECIPES / "README.md").read_text()
    assert f"test_{file.stem}" in Path(__file__).read_text()


def test_plain_resume(recipe: Callable[[str], Any]) -> None:
    """What was stopped between two checkpoints ends with the same bits."""
    main = recipe("plain_resume").main

    whole = main(folder="whole")
    main(folder="stopped", stop_at=33)
    resumed = main(folder="stopped")

    assert same(resumed, whole)


def test_ema(recipe: Callable[[str], Any]) -> None:
    main = recipe("ema").main

    accuracies = main()
    main(n_steps=40, folder="stopped")

    assert main(folder="stopped") == accuracies
    assert min(accuracies) > 0.85


def test_gan(recipe: Callable[[str], Any]) -> None:
    main = recipe("gan").main

    draws = main()
    main(n_steps=200, folder="stopped")

    assert torch.equal(main(folder="stopped"), draws)
    assert abs(float(draws.mean()) - 3) < 0.5


@pytest.mark.usefixtures("quick_collections")
def test_trainer_resume(recipe: Callable[[str], Any]) -> None:
    main = recipe("trainer_resume").main

    whole = main(folder="whole")
    main(n_steps=4, folder="stopped")

    assert same(main(folder="stopped"), whole)


def test_transformers_lora(recipe: Callable[[str], Any]) -> None:
    pytest.importorskip("peft", reason="the recipe needs peft")

    first, last = recipe("transformers_lora").main()

    assert last < first - 0.2
    assert os.path.getsize("adapter.mpk") < os.path.getsize("base.mpk") / 3


def test_lightning_run(recipe: Callable[[str], Any]) -> None:
    main = recipe("lightning_run").main

    assert main() > 0.85
    assert main(n_epochs=4) > 0.85


def test_accelerate_run(recipe: Callable[[str], Any]) -> None:
    pytest.importorskip("accelerate", reason="the recipe needs accelerate")
    main = recipe("accelerate_run").main

    accuracy = main()
    main(n_epochs=1, folder="stopped")

    assert accuracy > 0.85
    assert main(folder="stopped") == accuracy


def test_grams(recipe: Callable[[str], Any]) -> None:
    """The loss falls, and fifty steps are those of the reference."""
    module: Any = recipe("grams")
    with warnings.catch_warnings():
        # It imports what a newer torch deprecates.
        warnings.simplefilter("ignore")
        peers: Any = importlib.import_module("pytorch_optimizer")
    torch.manual_seed(1)
    ours, theirs = nn.Linear(5, 3).double(), nn.Linear(5, 3).double()
    theirs.load_state_dict(ours.state_dict())
    optimizer = module.Grams(weight_decay=0.1).bind(ours, lr=1e-2)
    peer = peers.Grams(theirs.parameters(), lr=1e-2, weight_decay=0.1)

    for _ in range(50):
        x = torch.randn(8, 5, dtype=torch.float64)
        for net, stepper in ((ours, optimizer), (theirs, peer)):
            stepper.zero_grad()
            net(x).square().mean().backward()
            stepper.step()

    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)
    assert "loop" not in str(engine_report(optimizer))
    assert module.main() < 1e-3


def test_half_deployment(recipe: Callable[[str], Any]) -> None:
    accuracies = recipe("half_deployment").main()

    assert set(accuracies) == {"built", "stored", "bfloat16"}
    assert min(accuracies.values()) > 0.85
    assert os.path.getsize("half.mpk") < os.path.getsize("full.mpk") * 0.55


def test_refactor(recipe: Callable[[str], Any]) -> None:
    assert recipe("refactor").main() < 1e-6


def test_architecture_search(recipe: Callable[[str], Any]) -> None:
    best = recipe("architecture_search").main()

    assert len(list(Path().glob("*.mpk"))) >= 2
    assert len(best.blocks) in (1, 3)


def test_serve(recipe: Callable[[str], Any]) -> None:
    """Each answer under traffic is that of one file, whole; a bad file is left."""
    torch.manual_seed(0)
    nets = [recipe("serve").Net() for _ in range(2)]
    row = [0.1, 0.2, 0.3, 0.4]
    expected = [net(torch.tensor([row]))[0].tolist() for net in nets]
    nets[0].save_record("net.mpk")
    program = FreshProcess(RECIPES / "serve.py", "net.mpk", "0", piped=True)
    with program as process:
        try:
            port = int(process.stdout.readline().rpartition(b" ")[2])
            with Traffic(port, row) as traffic:
                for i in (1, 0, 1):
                    nets[i].save_record("net.mpk")
                    process.send_signal(signal.SIGHUP)
                    assert process.stdout.readline() == b"reloaded\n"
            assert {tuple(a) for a in traffic.answers} <= {tuple(e) for e in expected}
            assert asked(port, row) == expected[1]
            Path("broken.mpk").write_bytes(Path("net.mpk").read_bytes()[:-9])
            os.replace("broken.mpk", "net.mpk")
            process.send_signal(signal.SIGHUP)
            assert b"not reloaded: net.mpk" in process.stdout.readline()
            assert asked(port, row) == expected[1]
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) == 0
        finally:
            process.kill()


class Traffic:
    """Requests without a pause, in a thread, for as long as the block goes on."""

    def __init__(self, port: int, row: list[float]) -> None:
        self.answers: list[list[float]] = []
        self._port, self._row, self._is_over = port, row, False
        self._thread = threading.Thread(target=self._ask)

    def _ask(self) -> None:
        while not self._is_over:
            self.answers.append(asked(self._port, self._row))

    def __enter__(self) -> "Traffic":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        self._thread.join()


def asked(port: int, row: list[float]) -> list[float]:
    data = json.dumps([row]).encode()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}", data) as answer:
        rows: list[list[float]] = json.load(answer)
        return rows[0]


def test_partial_http(recipe: Callable[[str], Any]) -> None:
    """The head is loaded, and most of the file never crosses the network."""
    pytest.importorskip("fsspec", reason="the recipe needs fsspec")
    pytest.importorskip("aiohttp", reason="the recipe needs aiohttp")
    module: Any = recipe("partial_http")
    net = module.Net()
    content = net.save_record()
    with RangeServer(content) as server:
        part = module.main(f"http://127.0.0.1:{server.server_port}/net.mpk")

    assert torch.equal(part.head.weight, net.head.weight)
    assert not torch.equal(part.encoder[0].weight, net.encoder[0].weight)
    assert server.n_sent < len(content) / 2


class RangeServer(ThreadingHTTPServer):
    """One object over HTTP, in ranges; counts the bytes that it sends."""

    def __init__(self, content: bytes) -> None:
        self.content, self.n_sent = content, 0
        super().__init__(("127.0.0.1", 0), RangeHandler)

    def __enter__(self) -> "RangeServer":
        threading.Thread(target=self.serve_forever).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class RangeHandler(BaseHTTPRequestHandler):
    server: RangeServer  # pyright: ignore[reportIncompatibleVariableOverride]  # ours

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.content)))
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()

    def do_GET(self) -> None:
        first, _, last = (
            self.headers.get("Range", "bytes=0-").partition("=")[2].partition("-")
        )
        size = len(self.server.content)
        start, stop = int(first), min(int(last or size) + 1, size)
        part = self.server.content[start:stop]
        self.server.n_sent += len(part)
        self.send_response(206)
        self.send_header("Content-Length", str(len(part)))
        self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{size}")
        self.end_headers()
        self.wfile.write(part)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def same(left: nn.Module, right: nn.Module) -> bool:
    return all(map(torch.equal, left.parameters(), right.parameters()))
