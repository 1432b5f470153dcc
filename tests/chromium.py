"""A browser without a window, led over a pipe, for pages that draw themselves."""

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser")

# Chromium reads commands from descriptor 3, and answers on 4.
_WITH_PIPES = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(word), fcntl.F_DUPFD, 10) for word in sys.argv[1:3]]
for end, place in zip(ends, (3, 4)):
    os.dup2(end, place)
os.execv(sys.argv[3], sys.argv[3:])
"""

needs_chromium = pytest.mark.skipif(
    PROGRAM is None, reason="there is no chromium here, which opens the pages"
)


class Browser:
    """One tab of Chromium; a context manager that ends it."""

    def __init__(self) -> None:
        assert PROGRAM is not None
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._n_sent, self._left, self._session = 0, b"", ""
        self.log: list[str] = []
        """Errors and messages of the page's scripts."""
        commands, self._out = os.pipe()
        self._in, replies = os.pipe()
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-c", _WITH_PIPES, str(commands), str(replies)),
                *(PROGRAM, "--headless", "--no-sandbox", "--remote-debugging-pipe"),
                *("--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
                f"--user-data-dir={self._folder.name}",
                "about:blank",
            ],
            pass_fds=(commands, replies),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(commands)
        os.close(replies)

    def __enter__(self) -> Self:
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.wait(timeout=20)
        os.close(self._in)
        os.close(self._out)
        self._folder.cleanup()

    def send(self, method: str, **params: Any) -> Any:
        """Return the answer to a command of the DevTools protocol."""
        self._n_sent += 1
        message: dict[str, Any] = {"id": self._n_sent, "method": method}
        message["params"] = params
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next_message()
            self._note(answer)
            if answer.get("id") == self._n_sent:
                assert "error" not in answer, answer
                return answer["result"]

    def open(self, file: Path, width: int = 1400, *, is_dark: bool = False) -> None:
        """Open a page at ``width``, and wait until it is drawn."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = "dark" if is_dark else "light"
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.send("Emulation.setEmulatedMedia", features=features)
        self.send("Page.navigate", url=file.absolute().as_uri())
        while self.value("document.readyState") != "complete":
            pass
        # Observers of sizes are called with the next frame.
        self.value("new Promise(r => requestAnimationFrame(() => setTimeout(r, 50)))")

    def value(self, script: str) -> Any:
        """Return what ``script`` gives in the page."""
        answer = self.send(
            "Runtime.evaluate",
            expression=script,
            returnByValue=True,
            awaitPromise=True,
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def type(self, text: str) -> None:
        """Type into what has the focus."""
        self.send("Input.insertText", text=text)

    def press(self, key: str) -> None:
        """Press a key that has a name, as Enter, Tab, ArrowDown."""
        codes = {"Enter": 13, "Tab": 9, "ArrowRight": 39, "ArrowDown": 40, "/": 191}
        code: dict[str, Any] = {"key": key, "windowsVirtualKeyCode": codes[key]}
        if key == "Enter":
            code["text"] = "\r"
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, **code)

    def picture(self, *, is_whole: bool = False) -> bytes:
        """Return what is seen, or all of the page, as PNG."""
        answer = self.send("Page.captureScreenshot", captureBeyondViewport=is_whole)
        if is_whole:
            size = self.send("Page.getLayoutMetrics")["cssContentSize"]
            clip = {"x": 0, "y": 0, "width": size["width"], "scale": 1}
            clip["height"] = min(size["height"], 6000)
            answer = self.send(
                "Page.captureScreenshot", captureBeyondViewport=True, clip=clip
            )
        return base64.b64decode(answer["data"])

    def _next_message(self) -> Any:
        while b"\0" not in self._left:
            chunk = os.read(self._in, 1 << 16)
            assert chunk, "chromium has ended"
            self._left += chunk
        message, _, self._left = self._left.partition(b"\0")
        return json.loads(message)

    def _note(self, message: Any) -> None:
        method, params = message.get("method", ""), message.get("params", {})
        if method in ("Runtime.exceptionThrown", "Log.entryAdded"):
            self.log.append(json.dumps(params))
        url = params.get("request", {}).get("url", "")
        if method == "Network.requestWillBeSent" and not url.startswith(
            ("file:", "data:", "about:")
        ):
            self.log.append(f"asked for {url}")
