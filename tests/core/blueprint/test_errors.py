from burnish.core.blueprint.errors import (
    BlueprintError,
    ConstructionError,
    NotRepeatedError,
    SettingError,
)


def test_errors_are_of_one_family() -> None:
    for kind in (SettingError, ConstructionError, NotRepeatedError):
        assert issubclass(kind, BlueprintError)
