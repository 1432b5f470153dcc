"""The handling of gradients: stored with a state for comparison, and never restored."""

from collections.abc import Iterator, Sequence
from typing import Any

from ..bound.bound_state import BoundState
from ..clipping import Clip
from .stored_groups import StoredGroups


def guards_of(bound: BoundState) -> dict[str, Any]:
    """Return as text how gradients are clipped, and the effect of non-finite ones."""
    return {
        "clip": _text(bound.clip),
        "group_clips": [_text(group.get("clip")) for group in bound.groups],
        "nonfinite": bound.nonfinite,
    }


def other_guards(
    bound: BoundState, description: Any, sources: Sequence[StoredGroups]
) -> list[str]:
    """Report which guards differ from those that `guards_of` stored with a state.

    ``description`` has them; one of an older file has none, and nothing is reported.
    """
    stored_guards = description.get("guards") if isinstance(description, dict) else None
    if not isinstance(stored_guards, dict):
        return []
    guards = guards_of(bound)
    changes = [
        f"{name} is {guards[name]}, and was {stored_guards[name]} when saved"
        for name in ("clip", "nonfinite")
        if name in stored_guards and stored_guards[name] != guards[name]
    ]
    return [*changes, *_other_clips(guards, stored_guards.get("group_clips"), sources)]


def _other_clips(
    guards: dict[str, Any], stored_clips: Any, sources: Sequence[StoredGroups]
) -> Iterator[str]:
    if not isinstance(stored_clips, list):
        return
    for source in sources:
        clip = guards["group_clips"][source.index]
        for number in source.numbers:
            before = stored_clips[number] if number < len(stored_clips) else None
            if before != clip:
                yield (
                    f"group {source.index}: clip is {clip}, and was {before} when saved"
                )


def _text(clip: Clip | None) -> str | None:
    return None if clip is None else repr(clip)
