"""Draw the pictures of docs/: the pages of `show`, of `diff` and of a run.

`python tools/page_pictures.py` renews `docs/assets/page_*.png`. It trains the digits of
`examples/training` for five epochs, and takes Chromium to look at what comes out.
"""

import io
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs/assets"
EXAMPLE = ROOT / "examples/training"

WIDTH, HEIGHT = 980, 860
"""Of each picture, in pixels: what a reader sees first."""

SCROLLBAR = 20
COLORS = 64
"""Flat pages need no more, and a picture takes a third of the bytes."""


def main() -> None:
    """Write the pictures."""
    sys.path.insert(0, str(ROOT))
    with tempfile.TemporaryDirectory() as folder:
        for name, page in pages(Path(folder)).items():
            (FOLDER / f"page_{name}.png").write_bytes(picture(page))


def pages(folder: Path) -> dict[str, Path]:
    """Return a page of each kind, made by the command as a user would call it."""
    run = folder / "run"
    burnish(EXAMPLE, "fit", "--config-name", "digits", f"hydra.run.dir={run}")
    first, *_, last = sorted(run.glob("checkpoints/epoch=*/model.mpk"))
    shutil.copy(first, folder / "before.mpk")
    shutil.copy(last, folder / "after.mpk")
    burnish(folder, "show", "after.mpk", "--html", "show.html")
    burnish(folder, "diff", "before.mpk", "after.mpk", "--html", "diff.html")
    return {
        "show": folder / "show.html",
        "diff": folder / "diff.html",
        "run": run / "report.html",
    }


def burnish(folder: Path, *words: str) -> None:
    """Run the command in ``folder``; 1 means that two files differ."""
    command = [sys.executable, "-m", "burnish", *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True)
    if done.returncode not in (0, 1):
        raise RuntimeError(done.stderr.decode())


def picture(page: Path) -> bytes:
    """Return what a browser shows of a page first, as PNG."""
    from PIL import Image
    from tests.chromium import Browser

    with Browser() as browser:
        browser.open(page, WIDTH + SCROLLBAR)
        whole = Image.open(io.BytesIO(browser.picture()))
    seen = whole.convert("RGB").crop((0, 0, WIDTH, HEIGHT)).quantize(COLORS)
    written = io.BytesIO()
    seen.save(written, "PNG", optimize=True)
    return written.getvalue()


if __name__ == "__main__":
    main()
