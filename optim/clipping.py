"""Clipping: gradients reduced before a step; the gradient tensors are not changed.

Norms are those of whole gradients, even if they are spread over processes; for half
precisions they are computed in float32, like the steps of master weights.
"""

from dataclasses import dataclass

from torch import Tensor

from ..records.tensors.shares import is_sharded, zero_share
from .checks import check_range
from .norms import norms, total_norm


@dataclass(frozen=True)
class ClipValue:
    """Clamp every element of a gradient to [-limit, limit]."""

    limit: float

    def __post_init__(self) -> None:
        check_range("limit", self.limit, 0.0)

    def clip(self, grads: list[Tensor]) -> "Clipped":
        """Return the gradients, and the limit that the step applies to them."""
        return Clipped(grads, limit=self.limit)


@dataclass(frozen=True)
class ClipNorm:
    """Scale the gradient of each parameter to a norm of at most ``max_norm``.

    The scaled gradient keeps its dtype. If a value is infinite or NaN, the gradient
    becomes 0 and NaN, as with torch.
    """

    max_norm: float

    def __post_init__(self) -> None:
        check_range("max_norm", self.max_norm, 0.0)

    def clip(self, grads: list[Tensor]) -> "Clipped":
        """Return gradients; those beyond the norm are scaled copies."""
        clipped = [
            g if n <= self.max_norm else g * (self.max_norm / n)
            for g, n in zip(grads, norms(grads), strict=True)
        ]
        return Clipped(clipped)


@dataclass(frozen=True)
class ClipGlobalNorm:
    """Scale all gradients so that together they have a norm of at most ``max_norm``.

    The factor is that of `torch.nn.utils.clip_grad_norm_`; for half precisions, where
    that rounds the norm, and overflows to a factor of 0, it is computed in float32.
    """

    max_norm: float

    def __post_init__(self) -> None:
        check_range("max_norm", self.max_norm, 0.0)

    def clip(self, grads: list[Tensor]) -> "Clipped":
        """Return the gradients, and the factor that the step multiplies them by."""
        if not grads:
            return Clipped(grads, scale=1.0)
        factor = self.max_norm / (total_norm(grads) + 1e-6)
        # A factor of 1 is returned too: whether a step is scaled must not depend on its
        # gradients, which would choose the engine. NaN stays NaN.
        return Clipped(grads, scale=1.0 if factor >= 1.0 else factor)


Clip = ClipValue | ClipNorm | ClipGlobalNorm


def check_clip(clip: object) -> None:
    """Raise TypeError unless ``clip`` is a clip, or None."""
    if clip is not None and not isinstance(clip, Clip):
        raise TypeError(
            f"clip must be a ClipValue, ClipNorm or ClipGlobalNorm, got {clip!r:.60}"
        )


@dataclass(frozen=True, slots=True)
class Clipped:
    """Gradients, and what the step still has to do to them."""

    grads: list[Tensor]
    scale: float | None = None
    limit: float | None = None


ClippedGroup = tuple[list[Tensor | None], float | None, float | None]
"""The gradients of a group, with their factor and their limit."""


def clip_by_group(
    clip: Clip | None,
    group_clips: list[Clip | None],
    grads: list[list[Tensor | None]],
    params: list[list[Tensor]],
) -> list[ClippedGroup]:
    """Return the gradients of each group, clipped by its own clip or ``clip``.

    ``clip`` applies to the groups without one jointly: their norm is a single one. None
    is in the place of a missing gradient of ``params``.
    """
    if clip is None and not any(group_clips):
        return [(group_grads, None, None) for group_grads in grads]
    shared = [i for i, group_clip in enumerate(group_clips) if group_clip is None]
    members = [(clip, shared)]
    members += [(c, [i]) for i, c in enumerate(group_clips) if c is not None]
    results: dict[int, ClippedGroup] = {}
    for chosen, indices in members:
        summands = {i: _summands(params[i], grads[i]) for i in indices}
        present = [s for i in indices for s in summands[i] if s is not None]
        clipped = Clipped(present) if chosen is None else chosen.clip(present)
        remaining = iter(clipped.grads)
        for i in indices:
            after = [None if s is None else next(remaining) for s in summands[i]]
            group_grads = [
                None if grad is None else clipped_grad
                for grad, clipped_grad in zip(grads[i], after, strict=True)
            ]
            results[i] = (group_grads, clipped.scale, clipped.limit)
    return [results[i] for i in range(len(grads))]


def _summands(params: list[Tensor], grads: list[Tensor | None]) -> list[Tensor | None]:
    """Return the gradients, with zeros where other processes may have a share of one.

    They send the norm of theirs, and would wait for this process. Without any gradient
    (``grads`` is empty) a report asks for the effect of clips, and nothing is sent.
    """
    return [
        zero_share(param)
        if grad is None and param.requires_grad and is_sharded(param)
        else grad
        for param, grad in zip(params, grads, strict=False)
    ]
