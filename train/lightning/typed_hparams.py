"""Classes whose type parameter is the class of their hyperparameters: ``Model[H]``."""

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar, get_args, get_origin

from ...config.hparams import Hparams


class TypedHparams:
    """Gives a class ``hparams_schema``, from its type parameter or its parents'."""

    hparams_schema: ClassVar[Any] = None

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if "hparams_schema" in cls.__dict__:
            return
        for base in getattr(cls, "__orig_bases__", ()):
            origin, args = get_origin(base), get_args(base)
            if isinstance(origin, type) and issubclass(origin, TypedHparams) and args:
                if isinstance(args[0], type) and issubclass(args[0], Hparams):
                    cls.hparams_schema = args[0]
                return

    @classmethod
    def hparams_argument(cls) -> str:
        """Return the name of the constructor's hyperparameters: usually "hparams".

        Otherwise the argument that is annotated with their class, or the first one.
        """
        parameters = inspect.signature(cls).parameters
        if "hparams" in parameters or not parameters:
            return "hparams"
        # The other annotations may contain names that do not exist.
        annotated = [
            name
            for name, parameter in parameters.items()
            if parameter.annotation in (cls.hparams_schema, cls.hparams_schema.__name__)
        ]
        return next(iter(annotated or parameters))

    def check_hparams(self, hparams: object, base: str) -> Any:
        """Return ``hparams`` as the declared class. TypeError for another."""
        name, schema = type(self).__name__, self.hparams_schema
        if schema is None:
            raise TypeError(
                f"{name} must declare its hyperparameters: "
                f"class {name}({base}[MyHparams])"
            )
        if isinstance(hparams, schema):
            return hparams
        if isinstance(hparams, Mapping) and not isinstance(hparams, Hparams):
            return schema.from_dict(hparams)
        raise TypeError(
            f"{name} takes {schema.__qualname__} or a dict of its fields, got "
            f"{type(hparams).__qualname__}"
        )
