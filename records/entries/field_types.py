"""Types of one's own as fields of records: plain data and tensors, there and back."""

from ...config.classes.field_types import registered_type_of
from ...config.plain.codec import Encode, Kind

UNDECLARED_TYPE = (
    "would come back as plain data, since nothing declares what it is; store it in a "
    "field of a record that declares the class"
)


class _RegisteredKind(Kind):
    """Values of exactly the classes that users have registered."""

    __slots__ = ()

    def takes(self, cls: type) -> bool:
        return registered_type_of(cls) is not None


def registered(encode: Encode) -> Kind:
    """Return the kind of registered values, which ``encode`` writes."""
    return _RegisteredKind(types=(), encode=encode, is_deep=True)
