"""Sequential: one schedule after the other."""

from .children import Parent


class Sequential(Parent):
    """Each of ``schedulers`` until its milestone; each begins at its own first step."""

    milestones: list[int]
    n_steps: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.schedulers:
            raise ValueError("At least one scheduler is required, got none")
        if len(self.milestones) != len(self.schedulers) - 1:
            raise ValueError(
                "The number of milestones must be one less than the number of "
                f"schedulers, got {len(self.milestones)} and {len(self.schedulers)}"
            )
        pairs = zip([0, *self.milestones], self.milestones, strict=False)
        if any(a >= b for a, b in pairs):
            raise ValueError(
                "Milestones must be greater than zero and strictly increasing, got "
                f"{self.milestones}"
            )

    def at(self, index: int) -> float:
        """Return the learning rate of step ``index``, counted from 0."""
        begun = [m for m in self.milestones if m <= index]
        return self.children[len(begun)].at(index - (begun[-1] if begun else 0))
