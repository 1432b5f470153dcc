"""Draw the picture of the site's first page from `benches/RESULTS.md`.

`python tools/plot_results.py` renews `docs/assets/ratios.svg`; the rows are named here,
the figures are read.
"""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benches/RESULTS.md"
PICTURE = ROOT / "docs/assets/ratios.svg"


class Row(NamedTuple):
    """A row of the results that is drawn, and what it is called there."""

    label: str
    section: str
    question: str
    case: str
    unit: str


ROWS = (
    Row(
        "save GPT-2, with checksums\n(safetensors, without)",
        "save",
        "save full",
        "GPT-2",
        "cpu",
    ),
    Row(
        "save GPT-2 in half\n(.half(), safetensors)",
        "save",
        "save half",
        "GPT-2",
        "cpu",
    ),
    Row("save 5,000 tensors\n(safetensors)", "save", "save full", "5,000", "cpu"),
    Row(
        "build GPT-2 from its file, verified\n(init and torch.load)",
        "cold_start",
        "verified / init + torch.load",
        "GPT-2",
        "cpu",
    ),
    Row(
        "build GPT-2, unverified\n(meta device, safetensors)",
        "cold_start",
        "verify=False / meta + safetensors",
        "GPT-2",
        "cpu",
    ),
    Row(
        "one tensor of 1,000, cold\n(safetensors)", "partial", "cold", "one of", "wall"
    ),
    Row(
        "an own AdamW, GPT-2\n(torch foreach)",
        "optim_default",
        "a user's AdamW / torch foreach",
        "GPT-2, 1",
        "cpu",
    ),
    Row(
        "the same, compiled\n(torch fused)",
        "optim_fused",
        "AdamW / torch fused",
        "GPT-2, 1",
        "cpu",
    ),
    Row("save the state of AdamW\n(torch.save)", "optim_state", "save", "AdamW", "cpu"),
    Row(
        "construct a decorated class\n(an undecorated one)",
        "pretrained",
        "construct a decorated net / an undecorated one",
        "1,001 modules of width 64",
        "cpu",
    ),
)
"""Named with the peer in brackets; what is slower than its peer is not left out."""


def main() -> None:
    """Write the picture."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "burnish"  # the same picture, the same bytes
    from matplotlib import pyplot

    ratios = [ratio_of(row) for row in ROWS]
    figure, axes = pyplot.subplots(figsize=(7, 0.7 * len(ROWS) + 0.6))
    axes.barh([row.label for row in ROWS], ratios, color="#26a69a")
    axes.axvline(1.0, color="#888888", linewidth=1)
    axes.invert_yaxis()
    axes.set_xlabel("time of Burnish / time of the peer (below 1: Burnish is faster)")
    for position, ratio in enumerate(ratios):
        axes.text(ratio + 0.01, position, f"{ratio:.2f}", va="center")
    axes.spines[["top", "right"]].set_visible(False)
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, bbox_inches="tight", metadata={"Date": None})


def ratio_of(row: Row) -> float:
    """Return the ratio of the first row of the results that fits. Raises KeyError."""
    text = RESULTS.read_text()
    section = re.search(
        rf"<!-- {row.section}: begin -->(.*?)<!-- {row.section}: end -->",
        text,
        re.DOTALL,
    )
    for line in section[1].splitlines() if section else ():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if (
            len(cells) > 5
            and cells[0] == row.question
            and cells[1].startswith(row.case)
            and row.unit in cells[4]
        ):
            return float(cells[5])
    raise KeyError(f"{RESULTS.name} has no row for {row}")


if __name__ == "__main__":
    main()
