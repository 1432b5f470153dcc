"""docs/reliability.md: what the campaigns found, a section for each, made by them."""

import re
from pathlib import Path

FILE = Path(__file__).parent.parent.parent / "docs" / "reliability.md"

_HEAD = """# Reliability

What was run against this library, and what it did.
Each section is written by the command that it names.
"""


def write_section(campaign: str, text: str) -> None:
    """Put ``text``, Markdown that begins with a heading, in the page for a campaign."""
    sections = _sections(FILE.read_text() if FILE.exists() else "")
    sections[campaign] = text.strip()
    page = _HEAD + "".join(
        f"\n<!-- begin {name} -->\n{sections[name]}\n<!-- end {name} -->\n"
        for name in sorted(sections)
    )
    FILE.write_text(page)


def section(campaign: str) -> str:
    """Return what was last written for a campaign, or nothing."""
    return _sections(FILE.read_text() if FILE.exists() else "").get(campaign, "")


def _sections(page: str) -> dict[str, str]:
    pattern = r"<!-- begin (\w+) -->\n(.*?)\n<!-- end \1 -->"
    return dict(re.findall(pattern, page, re.DOTALL))
