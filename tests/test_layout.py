"""The folders at the top of the repository are burnish, and depend one way."""

import ast
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = ["config", "records", "core", "optim", "train", "cli"]


@pytest.mark.parametrize("folder", LAYERS)
def test_link_and_mapping_name_every_folder(folder: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]

    assert wheel["sources"][folder] == f"burnish/{folder}"
    assert folder in wheel["only-include"]
    assert (ROOT / "src/burnish" / folder).resolve() == ROOT / folder


@pytest.mark.parametrize("folder", LAYERS)
def test_folder_imports_only_what_lies_below_it(folder: str) -> None:
    allowed = LAYERS[: LAYERS.index(folder) + 1]
    for file in sorted((ROOT / folder).rglob("*.py")):
        for line, part in imported_parts(file):
            assert part in allowed, f"{file}:{line} imports {part}"


def test_records_never_name_a_module_of_torch() -> None:
    for file in sorted((ROOT / "records").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Attribute):
                assert node.attr != "Module", f"{file}:{node.lineno}"


FLOORS = {
    "config": [
        ("errors", "lazy_exports", "process", "registry", "shown", "spelling"),
        ("path", "patterns", "storage"),
        ("plain",),
        ("tree",),
        ("classes", "rewriting", "ron"),
        ("schedule", "versioned"),
        ("encode",),
        ("formats", "rules", "validation"),
        ("files",),
        ("hparams", "schema"),
        ("help_text",),
        ("command_line",),
        ("__init__",),
    ],
    "records": [
        ("byte_planes", "calls", "dtypes", "errors", "foreign", "gc_pause"),
        ("grad_mode", "nodes", "parallel_map", "private_map", "shares", "sink"),
        ("special_types", "torch_internals"),
        ("arrays", "limits", "memory", "node_names", "source"),
        ("bounded_msgpack", "compression", "entry", "lazy_payload"),
        ("columns", "path_checks", "select", "sums"),
        ("entries", "metadata"),
        ("conventions", "encoder", "header_checks", "nested", "part", "renaming"),
        ("show",),
        ("conversion", "field_hints", "header", "record_view", "report", "state_dict"),
        ("precision",),
        ("payload",),
        ("batches",),
        ("contents",),
        ("stored_contents",),
        ("format",),
        ("record_writer", "source_errors"),
        ("formats", "readable"),
        ("flat_record",),
        ("open", "record_decoder"),
        ("declared", "recorder"),
        ("record",),
        ("__init__",),
    ],
    "core": [
        ("errors",),
        ("modules",),
        ("hyperparameters", "state"),
        ("evolution", "freezing", "module_summary"),
        ("persistence",),
        ("blueprint", "pretrained"),
        ("decorator",),
        ("__init__",),
    ],
    "optim": [
        ("checks", "engines", "gradients", "tensor_optimizer"),
        ("clipping", "errors", "schedulers"),
        ("groups",),
        ("bound",),
        ("lbfgs", "stepping"),
        ("stored",),
        ("adaptor",),
        ("simple",),
        (
            *("adadelta", "adafactor", "adagrad", "adam", "adamax", "adan", "asgd"),
            *("lamb", "lion", "muon", "nadam", "radam", "rmsprop", "rprop"),
            *("schedule_free", "sgd"),
        ),
        ("adamw",),
        ("__init__",),
    ],
    "optim/engines": [
        ("__init__", "memory", "tracing"),
        ("bucket", "codegen", "self_check"),
        ("agreement", "blocks", "foreach", "portions", "torch_fused"),
        ("compiled", "loop"),
        ("choice", "stacked"),
        ("plan",),
    ],
    "core/blueprint": [
        ("errors",),
        ("edits",),
        ("tree",),
        ("construction",),
        ("parts", "render", "stored"),
        ("configure_call",),
        ("selection",),
        ("blueprint",),
        ("lightning",),
        ("__init__",),
    ],
    "train": [
        ("class_lookup", "hparams", "plain", "resumable_loader"),
        ("checkpoints",),
        ("hyperstate", "lightning"),
        ("fit",),
        ("__init__",),
    ],
    "cli": [
        ("main", "target", "termination"),
        ("hydra_app", "schema", "upgrade"),
        ("fit", "profile"),
        ("__init__",),
    ],
}
"""The parts of a folder from the ground up; those of one floor do not know each other.

Imports inside functions and for type checkers alone count like all others: what a
part needs from above is handed in or registered.
"""


@pytest.mark.parametrize("folder", FLOORS)
def test_every_part_of_a_folder_has_its_floor(folder: str) -> None:
    parts = {
        path.stem
        for path in (ROOT / folder).iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }

    assert parts == {part for floor in FLOORS[folder] for part in floor}


@pytest.mark.parametrize(
    ("folder", "part"),
    [
        (folder, p)
        for folder, floors in FLOORS.items()
        for floor in floors
        for p in floor
    ],
)
def test_part_of_a_folder_imports_only_what_lies_below_it(
    folder: str, part: str
) -> None:
    floors = FLOORS[folder]
    floor = next(i for i, parts in enumerate(floors) if part in parts)
    allowed = {part, *(name for below in floors[:floor] for name in below)}
    single = ROOT / folder / f"{part}.py"
    files = (
        [single] if single.exists() else sorted((ROOT / folder / part).rglob("*.py"))
    )
    for file in files:
        for line, target in imported_files(file):
            if target.is_relative_to(ROOT / folder):
                name = target.relative_to(ROOT / folder).parts[0].removesuffix(".py")
                assert name in allowed, f"{file}:{line} imports {target}"


def test_records_reach_their_formats_through_the_table_alone() -> None:
    formats = ROOT / "records" / "formats"
    for file in sorted((ROOT / "records").glob("*.py")):
        for line, target in imported_files(file):
            assert not target.is_relative_to(formats), f"{file}:{line}"


TESTED_IN = {
    "core/evolution/test_evolution": """
        argument_changes derived record_changes record_check record_commands
        record_schema tensor_rules upgrading
    """,
    "core/hyperparameters/test_reader": "errors",
    "core/hyperparameters/test_writer": "shown",
    "core/persistence/test_burn_convention": "burn_layers conventions",
    "core/persistence/test_loading": "commit conversion grouping",
    "core/persistence/test_meaning": "comparison",
    "core/pretrained/test_pretrained": """
        pretrained_folder rebuilding shards transformers_folder
    """,
    "core/state/test_build": """
        draws memory past_python patches streams tape tensor_functions unfilled
    """,
    "core/state/test_entries": "saving",
    "core/state/test_plan": "allowed",
    "core/state/test_sharing_parts": "fillings",
    "core/state/test_stored_extra": "extra_state",
    "core/test_decorator": "record_type",
    "core/test_freezing": "param_selection",
    "core/state/test_modes": "grad_mode",
    "records/test_calls": "factories",
    "records/test_declared": "field_hints special_types",
    "records/test_format": "contents stored_contents",
    "records/test_header": "header_checks node_names nested path_checks",
    "records/test_loader_checks": "sums",
    "records/test_memory": "shares",
    "records/test_open": "lazy_payload metadata readable renaming report select",
    "records/test_payload": "batches parallel_map",
    "records/test_record": """
        entries entry errors flat_record
        record_view show
    """,
    "records/test_recorder": "record_writer state_dict",
    "test_private_names_of_torch": "torch_internals",
}
"""Where files are tested that have no test file of their own name."""


@pytest.mark.parametrize("folder", ["core", "records"])
def test_tests_of_a_file_are_found_by_its_name(folder: str) -> None:
    elsewhere = {name for names in TESTED_IN.values() for name in names.split()}
    lost = [
        str(file.relative_to(ROOT))
        for file in sorted((ROOT / folder).rglob("*.py"))
        if file.stem not in elsewhere | {"__init__"}
        and file.parent != ROOT / "records" / "formats"
        and not (ROOT / "tests" / file.relative_to(ROOT))
        .with_name(f"test_{file.stem}.py")
        .exists()
    ]

    assert lost == [], "name the test like the file, or add a row to TESTED_IN"


@pytest.mark.parametrize("test", TESTED_IN)
def test_table_of_tests_names_files_that_exist(test: str) -> None:
    stems = {file.stem for layer in LAYERS for file in (ROOT / layer).rglob("*.py")}

    assert (ROOT / "tests" / f"{test}.py").exists()
    assert set(TESTED_IN[test].split()) <= stems


@pytest.mark.parametrize("folder", LAYERS)
def test_files_of_a_folder_import_each_other_in_no_circle(folder: str) -> None:
    files = sorted((ROOT / folder).rglob("*.py"))
    below = {
        file: {target for _, target in imported_files(file)} - {file} for file in files
    }

    order = [*TopologicalSorter(below).static_order()]

    assert set(files) <= set(order)


def imported_files(file: Path) -> list[tuple[int, Path]]:
    """Return (line, file of the same part of burnish) of every relative import."""
    targets: list[tuple[int, Path]] = []
    for node in ast.walk(ast.parse(file.read_text())):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        base = file.parents[node.level - 1].joinpath(*(node.module or "").split("."))
        for name in (alias.name for alias in node.names):
            candidates = (base / f"{name}.py", base / name / "__init__.py")
            module = next((c for c in candidates if c.exists()), None)
            whole = base.with_suffix(".py")
            package = whole if whole.exists() else base / "__init__.py"
            targets.append((node.lineno, module or package))
    return targets


def imported_parts(file: Path) -> list[tuple[int, str]]:
    """Return (line, part of burnish) of every import; an absolute one is an error."""
    package = ("burnish", *file.relative_to(ROOT).parent.parts)
    found: list[tuple[int, str]] = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            target = (*base, *(node.module or "").split("."))
            found += [(node.lineno, t) for t in target[1:2] if t]
        elif isinstance(node, ast.ImportFrom | ast.Import):
            names = [getattr(node, "module", None), *(a.name for a in node.names)]
            assert not any(str(n).split(".")[0] == "burnish" for n in names), (
                f"{file}:{node.lineno}: import siblings relatively"
            )
    return found
