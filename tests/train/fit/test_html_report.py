"""The page about a run tells what was edited, and no name in it becomes markup."""

from pathlib import Path

from burnish.config.live.changes import Change
from burnish.config.live.history import Edit
from burnish.train.fit.html_report import write_report

HOSTILE = "<script>alert('&')</script>"
ESCAPED = "&lt;script&gt;alert(&#x27;&amp;&#x27;)&lt;/script&gt;"


def page_of(folder: Path, *edits: Edit) -> str:
    file = folder / "report.html"
    write_report(file, title="a run", curves={}, facts={}, config="", edits=edits)
    return file.read_text()


def test_a_run_that_was_not_edited_has_no_table_of_edits(tmp_path: Path) -> None:
    begun = Edit(id=1, verdict="begun", step=0, time="now")

    assert "Edits" not in page_of(tmp_path, begun)


def test_each_field_of_an_edit_has_a_row(tmp_path: Path) -> None:
    changes = tuple(
        Change(path=path, before="0.1", after="0.2", note=note)
        for path, note in (("lr", "a schedule from now on"), ("decay", ""))
    )
    edit = Edit(id=2, verdict="applied", step=7, time="today", by="me", changes=changes)

    page = page_of(tmp_path, edit)

    start = "<td>7</td><td>today</td><td>me</td>"
    assert f"{start}<td>lr</td><td>0.1</td><td>0.2</td><td>a schedule from" in page
    assert f"{start}<td>decay</td><td>0.1</td><td>0.2</td><td></td>" in page


def test_everything_that_a_person_wrote_is_escaped(tmp_path: Path) -> None:
    change = Change(path=HOSTILE, before=HOSTILE, after=HOSTILE, note=HOSTILE)
    edits = [
        Edit(id=1, verdict="applied", step=1, time="", by=HOSTILE, changes=(change,)),
        Edit(id=2, verdict="refused", step=2, time=HOSTILE, problem=HOSTILE),
    ]

    page = page_of(tmp_path, *edits)

    assert HOSTILE not in page
    assert page.count(ESCAPED) == 7
