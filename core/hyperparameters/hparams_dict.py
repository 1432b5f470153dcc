"""Hyperparameters as the plain dict that JSON has, read by attribute too."""

from typing import Any

from ...config.path import did_you_mean


class HparamsDict(dict[str, Any]):
    """A dict whose items are attributes too: ``net.hparams.encoder.width``.

    A copy: changing it changes no module.  The class is under ``["__name__"]``.
    """

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            hint = did_you_mean(name, self)
            raise AttributeError(f"no hyperparameter {name!r}.{hint}") from None

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(
            f"{name!r}: hyperparameters are a copy. Change the item, "
            f"hparams[{name!r}] = ..., and build from it with from_hyperparameters."
        )

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(name for name in self if name.isidentifier())]
