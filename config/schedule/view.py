"""Plots of schedules: a line of block characters in the terminal, or a figure."""

from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

from ..classes.fields import is_struct_value, stored_fields
from ..path import child
from ..storage.replacement import write_file
from ..tree import is_dict, is_items
from .number import schedule_of
from .schedule import Schedule


def sparkline(schedule: Schedule, width: int = 40) -> str:
    """Return one line of ``width`` blocks, from the first point to the last."""
    return schedule.sparkline(width)


def plot(source: object, file: str | Path | None = None) -> Any:
    """Plot a schedule, or every schedule of a config, and return the figure.

    With ``file`` the figure is saved there, in the format of its suffix.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as missing:
        hint = "drawing schedules needs matplotlib: pip install 'burnish[plot]'"
        raise ImportError(hint) from missing
    schedules = list(_schedules(source, ""))
    if not schedules:
        raise ValueError(f"there is no schedule in {source!r:.80}")
    figure: Any = Figure(figsize=(6, 2.4 * len(schedules)), layout="constrained")
    suffix = "" if file is None else Path(file).suffix.lower()
    if file is not None and suffix[1:] not in figure.canvas.get_supported_filetypes():
        raise ValueError(
            f"{file}: the name of a picture must end in .png, .svg or .pdf"
        )
    all_axes = figure.subplots(len(schedules), squeeze=False)[:, 0]
    for axes, (path, schedule) in zip(all_axes, schedules, strict=True):
        xs, values = zip(*schedule.samples(400), strict=True)
        axes.plot(xs, values)
        axes.set(xlabel=schedule.key, ylabel=path or "value", title=schedule.text)
    if file is not None:
        picture = BytesIO()
        figure.savefig(picture, format=suffix[1:])
        write_file(file, picture.getvalue())
    return figure


def _schedules(source: object, path: str) -> Iterable[tuple[str, Schedule]]:
    schedule = source if isinstance(source, Schedule) else schedule_of(source)
    if schedule is not None:
        yield path, schedule
    elif is_struct_value(source):
        for field in stored_fields(type(source)):
            value = getattr(source, field.attribute)
            yield from _schedules(value, child(path, field.name))
    elif is_dict(source):
        for key, item in source.items():
            yield from _schedules(item, child(path, key))
    elif is_items(source):
        for i, item in enumerate(source):
            yield from _schedules(item, child(path, i))
