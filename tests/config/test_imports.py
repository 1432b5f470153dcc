import subprocess
import sys

import burnish.config
import burnish.config.schema


def _run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_all_of_config_works_without_torch() -> None:
    code = (
        "import sys; import burnish.config as c, burnish.config.schema;"
        "[getattr(c, name) for name in c.__all__];"
        "c.describe(c.loads(c.Hparams, '()').__class__);"
        "print('torch' in sys.modules, 'numpy' in sys.modules)"
    )

    assert _run(code) == "False False"


def test_importing_config_loads_pydantic_only_when_hparams_are_touched() -> None:
    code = (
        "import sys; import burnish.config as c; before = 'pydantic' in sys.modules;"
        "c.RenameField, c.Versioned, c.Schedule, c.Hparams;"
        "print(before, 'pydantic' in sys.modules)"
    )

    assert _run(code) == "False True"


def test_rules_paths_and_dataclass_files_need_no_pydantic_to_be_imported() -> None:
    code = (
        "import sys; from burnish.config import RenameField, dumps, load;"
        "print('pydantic' in sys.modules)"
    )

    assert _run(code) == "False"


def test_every_public_name_is_there_and_sorted() -> None:
    for package in (burnish.config, burnish.config.schema):
        names = package.__all__
        assert names == sorted(names, key=lambda name: (name.islower(), name))
        assert all(hasattr(package, name) for name in names)


def test_the_packages_within_are_there_without_an_import_of_their_own() -> None:
    code = "import burnish.config as c; print(c.schema.schema_of, c.schedule.plot)"

    assert "function" in _run(code)


def test_functions_are_not_hidden_by_modules_of_their_name() -> None:
    code = (
        "import burnish.config.help_text, burnish.config.command_line;"
        "from burnish.config import command, describe;"
        "print(callable(command), callable(describe))"
    )

    assert _run(code) == "True True"
