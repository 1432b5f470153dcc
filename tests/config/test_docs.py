import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "config.md"


def test_the_examples_of_the_page_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)

    names = {"__name__": __name__}
    for example in examples:
        exec(example, names)

    assert len(examples) > 5
