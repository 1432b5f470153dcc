"""The folders at the top of the repository are burnish, and depend one way."""

import ast
import tomllib
from collections import defaultdict
from functools import cache
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


OPTIMIZERS = {
    file.stem
    for file in (ROOT / "optim").glob("*.py")
    if "(SimpleOptimizer[" in file.read_text() or "(Adam)" in file.read_text()
}
"""Files of one optimizer each; what an author writes needs no row here."""

FLOORS = {
    "config": [
        ("printable",),
        ("process",),
        (
            "arguments",
            "errors",
            "html",
            "lazy_exports",
            "registry",
            "short_text",
            "spelling",
        ),
        ("path", "patterns", "storage", "tree"),
        ("plain",),
        ("classes", "rewriting", "ron"),
        ("schedule", "versioned"),
        ("encode",),
        ("formats", "rules", "validation"),
        ("files",),
        ("hparams", "live", "schema"),
        ("help_text",),
        ("command_line",),
        ("__init__",),
    ],
    "records": [
        ("calls", "errors", "format_names"),
        ("limits", "tensors"),
        ("processes",),
        ("io",),
        ("entries", "special_types"),
        ("field_hints", "header", "precision", "report"),
        ("inspection", "nest"),
        ("record_view",),
        ("assembly", "writing"),
        ("stored_contents",),
        ("format",),
        ("record_writer", "source_errors"),
        ("sharded",),
        ("background_saves", "formats", "readable"),
        ("flat_record",),
        ("open", "record_decoder"),
        ("declared", "linked_save", "recorder"),
        ("record",),
        ("__init__",),
    ],
    "core": [
        ("errors",),
        ("modules",),
        ("hyperparameters", "state"),
        ("evolution", "freezing", "module_summary", "prediction"),
        ("persistence",),
        ("blueprint", "pretrained"),
        ("decorator",),
        ("__init__",),
    ],
    "core/state": [
        ("extra_state", "grouping", "tensor_writes", "wrapped_tensors"),
        ("entries", "identity", "uninitialized"),
        ("loading", "param_selection"),
        ("__init__",),
    ],
    "optim": [
        ("checks", "engines", "gradients", "norms", "tensor_optimizer"),
        ("clipping", "errors", "schedulers"),
        ("groups",),
        ("bound",),
        ("stepping",),
        ("stored",),
        ("adaptor", "lbfgs"),
        ("simple",),
        tuple(sorted(OPTIMIZERS - {"adamw"})),
        ("adamw",),  # it is an Adam
        ("__init__",),
    ],
    "optim/engines": [
        ("__init__", "memory", "tracing"),
        ("renewals",),
        ("bucket", "codegen", "self_check", "written_step"),
        ("agreement", "blocks", "foreach", "portions", "torch_fused"),
        ("compiled", "loop", "shares"),
        ("choice", "gathered", "stacked"),
        ("plan",),
    ],
    "core/blueprint": [
        ("errors",),
        ("edits",),
        ("tree",),
        ("construction",),
        ("parts", "render", "stored"),
        ("configure_call", "wrap_call"),
        ("selection",),
        ("blueprint",),
        ("lightning",),
        ("__init__",),
    ],
    "train": [
        ("class_lookup", "group_objects", "hparams", "resumable_loader"),
        ("plain_records",),
        ("checkpoints",),
        ("hyperstate", "lightning"),
        ("inspection",),
        ("pages",),
        ("fit",),
        ("__init__",),
    ],
    "cli": [
        ("digest", "html_file", "words"),
        ("errors", "json_output", "main", "target", "terminal", "termination"),
        ("hydra_keys", "hydra_numbers", "hydra_words", "lightning_output"),
        ("facts", "tensor_table"),
        (
            "completion",
            "consolidate",
            "convert",
            "diff",
            "doctor",
            "hydra_app",
            "schedule",
            "schema",
            "set_config",
            "shard",
            "show",
            "upgrade",
            "verify",
        ),
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

    floors = {part for floor in FLOORS[folder] for part in floor}
    assert parts == floors, (
        f"put {parts ^ floors} on a floor of FLOORS[{folder!r}], above all that it "
        "imports, or take out of it what is gone"
    )


@pytest.mark.parametrize("folder", FLOORS)
def test_every_part_of_a_folder_imports_only_what_lies_below_it(folder: str) -> None:
    below: set[str] = set()
    for floor in FLOORS[folder]:
        for part in floor:
            check_imports(ROOT / folder, part, {part, *below})
        below.update(floor)


def check_imports(folder: Path, part: str, allowed: set[str]) -> None:
    single = folder / f"{part}.py"
    files = [single] if single.exists() else sorted((folder / part).rglob("*.py"))
    for file in files:
        for line, target in imported_files(file):
            if target.is_relative_to(folder):
                name = target.relative_to(folder).parts[0].removesuffix(".py")
                assert name in allowed, f"{file}:{line} imports {target}"


def test_records_reach_their_formats_through_the_table_alone() -> None:
    formats = ROOT / "records" / "formats"
    for file in sorted((ROOT / "records").glob("*.py")):
        for line, target in imported_files(file):
            assert not target.is_relative_to(formats), f"{file}:{line}"


TESTED_IN = {
    **{
        f"optim/{name}.py": "optim/test_oracles.py"
        for name in sorted(OPTIMIZERS)
        if not (ROOT / f"tests/optim/test_{name}.py").exists()
    },
    "cli/consolidate.py": "cli/test_shard.py",
    "cli/errors.py": "cli/test_bad_input.py",
    "cli/facts.py": "cli/test_show.py",
    "cli/html_file.py": "cli/test_show.py",
    "cli/json_output.py": "cli/test_show.py",
    "cli/tensor_table.py": "cli/test_show.py",
    "cli/words.py": "cli/test_main.py",
    "config/classes/docstrings.py": "config/test_help_text.py",
    "config/classes/field_aliases.py": "config/test_hparams.py",
    "config/classes/fields.py": "config/classes/test_annotations.py",
    "config/classes/hparam.py": "config/classes/test_editable.py",
    "config/classes/remade_fields.py": "config/validation/test_readback.py",
    "config/classes/known_classes.py": "config/classes/test_field_types.py",
    "config/classes/type_parameters.py": "config/classes/test_keyed_types.py",
    "config/classes/pydantic_internals.py": "test_private_names_of_pydantic.py",
    "config/encode.py": "config/validation/test_readback.py",
    "config/errors.py": "config/test_files.py",
    "config/formats/format.py": "config/test_files.py",
    "config/formats/json.py": "config/test_files.py",
    "config/formats/ron.py": "config/test_files.py",
    "config/formats/yaml.py": "config/test_files.py",
    "config/plain/node.py": "config/plain/test_codec.py",
    "config/process/streams.py": "cli/test_streams.py",
    "config/process/user_traceback.py": "cli/test_fit.py",
    "config/rewriting/schema_types.py": "config/rewriting/test_rewrite_rule.py",
    "config/rewriting/tree_edit.py": "config/test_versioned.py",
    "config/ron/scanner.py": "config/ron/test_reader.py",
    "config/schema/commands.py": "config/schema/test_checker.py",
    "config/schema/derive.py": "config/schema/test_checker.py",
    "config/schema/meaning.py": "config/schema/test_judging.py",
    "config/schema/samples.py": "config/schema/test_judging.py",
    "config/schema/trial.py": "config/schema/test_judging.py",
    "config/schema/upgrade.py": "config/schema/test_checker.py",
    "config/storage/missing.py": "records/test_readable.py",
    "config/storage/scratch.py": "config/storage/test_replacement.py",
    "config/tree.py": "config/test_properties.py",
    "config/validation/own_types.py": "config/classes/test_field_types.py",
    "config/validation/normalize.py": "config/validation/test_overrides.py",
    "config/validation/parse_value.py": "config/validation/test_overrides.py",
    "config/validation/pydantic_check.py": "config/validation/test_overrides.py",
    "optim/engines/gathered.py": "optim/engines/test_shares.py",
    "core/blueprint/construction/construction_run.py": (
        "core/blueprint/construction/test_dry_run.py"
    ),
    "core/blueprint/tree/computed_values.py": "core/blueprint/edits/test_computed.py",
    "core/errors.py": "core/hyperparameters/test_reader.py",
    "core/evolution/record_changes.py": "core/evolution/test_record_check.py",
    "core/hyperparameters/descriptions.py": "core/hyperparameters/test_values.py",
    "core/hyperparameters/hparams_node.py": "core/hyperparameters/test_values.py",
    "core/persistence/burn_layers.py": "core/persistence/test_burn_convention.py",
    "core/persistence/comparison.py": "core/persistence/test_meaning.py",
    "core/persistence/saving.py": "core/state/test_entries.py",
    "core/pretrained/pretrained_folder.py": "core/pretrained/test_pretrained.py",
    "core/state/extra_state.py": "core/state/loading/test_stored_extra.py",
    "core/state/loading/conversion.py": "core/state/loading/test_plan.py",
    "core/state/loading/derived.py": "core/evolution/test_tensor_rules.py",
    "core/state/loading/fillings.py": "core/state/loading/test_commit.py",
    "core/state/param_selection.py": "core/state/test_entries.py",
    "optim/engines/codegen/block_code.py": "optim/engines/test_blocks.py",
    "optim/engines/self_check.py": "optim/engines/codegen/test_compiler.py",
    "optim/engines/written_step.py": "optim/engines/test_loop.py",
    "optim/engines/tracing/trace.py": "optim/engines/tracing/test_stand_in.py",
    "optim/stepping/report.py": "optim/engines/test_choice.py",
    "optim/stepping/stepper.py": "optim/engines/test_plan.py",
    "optim/stored/rearranged_state.py": "optim/stored/test_taken_states.py",
    "optim/tensor_optimizer.py": "optim/test_simple.py",
    "records/entries/conventions.py": "core/persistence/test_burn_convention.py",
    "records/entries/entry.py": "records/test_record.py",
    "records/header/file_index.py": "records/formats/test_document_index.py",
    "records/entries/plain_data.py": "records/test_nest.py",
    "train/checkpoints/class_checks.py": "train/checkpoints/test_part_kinds.py",
    "records/entries/nested_data.py": "records/test_nest.py",
    "records/entries/state_dict_marks.py": "records/entries/test_state_dict_search.py",
    "records/entries/state_dict.py": "records/entries/test_state_dict_search.py",
    "records/entries/stored_wrappers.py": "records/entries/test_wrapped_tensors.py",
    "records/entries/wrapper_forms.py": "records/entries/test_wrapped_tensors.py",
    "records/errors.py": "records/test_source_errors.py",
    "records/flat_record.py": "records/test_record_view.py",
    "records/format_names.py": "records/test_recorder.py",
    "records/formats/msgpack_walk.py": "records/formats/test_messagepack.py",
    "records/sharded/dcp_planners.py": "records/sharded/test_dcp_storage.py",
    "records/sharded/share_payload.py": "optim/stored/test_state_shares.py",
    "records/sharded/same_record.py": "core/persistence/test_sharded_modules.py",
    "records/sharded/saving.py": "core/persistence/test_sharded_folders.py",
    "records/stored_contents.py": "records/test_format.py",
    "records/tensors/bits.py": "records/tensors/test_memory.py",
    "records/tensors/grad_mode.py": "core/state/uninitialized/test_modes.py",
    "records/tensors/shares.py": "records/tensors/test_memory.py",
    "records/tensors/tensor_classes.py": "core/modules/test_registry.py",
    "records/tensors/torch_internals.py": "test_private_names_of_torch.py",
    "records/writing/batches.py": "records/writing/test_payload.py",
    "records/writing/contents.py": "records/test_format.py",
    "records/writing/sums.py": "records/test_changing_values.py",
    "train/checkpoints/torch_optimizer_shares.py": (
        "train/checkpoints/test_shared_checkpoint.py"
    ),
    "train/checkpoints/checkpoint_arguments.py": (
        "train/checkpoints/test_checkpoints.py"
    ),
    "train/checkpoints/part.py": "train/checkpoints/test_part_kinds.py",
    "train/fit/beginning.py": "train/fit/test_live_run.py",
    "train/fit/history.py": "cli/test_fit.py",
    "train/fit/optimizer_arguments.py": "train/fit/test_live_run.py",
    "train/fit/run_fit.py": "cli/test_fit.py",
    "train/inspection/conversion.py": "cli/test_convert.py",
    "train/inspection/repair.py": "cli/test_verify.py",
    "train/inspection/stored_files.py": "cli/test_verify.py",
    "train/inspection/pairing.py": "train/inspection/test_diff.py",
    "train/inspection/diff_result.py": "train/inspection/test_diff.py",
    "train/inspection/named_records.py": "train/inspection/test_stored_parts.py",
    "train/inspection/part_view.py": "cli/test_show.py",
    "train/lightning/accumulated_gradients.py": (
        "train/lightning/test_unfinished_batch.py"
    ),
    "train/lightning/checkpoint_folder.py": "train/lightning/test_background_io.py",
    "train/hyperstate/blob_markers.py": "train/hyperstate/test_state_text.py",
    "train/hyperstate/object_kind.py": "train/hyperstate/test_state_objects.py",
    "train/hyperstate/saved_with.py": "train/hyperstate/test_digests.py",
    "train/hyperstate/state_tree.py": "train/hyperstate/test_restoring.py",
    "train/hyperstate/stored_files.py": "train/hyperstate/test_sent_files.py",
}
"""Source files whose behavior stands in a test of another name, below ``tests``.

Every optimizer goes through one parametrized test. The others are the ground of
something that is tested as a whole.
"""


@pytest.mark.parametrize("folder", LAYERS)
def test_every_source_file_has_a_test_file_of_its_name(folder: str) -> None:
    for file in sorted((ROOT / folder).rglob("*.py")):
        source = file.relative_to(ROOT)
        mirror = ROOT / "tests" / source.with_name(f"test_{source.name}")

        listed = source.as_posix() in TESTED_IN

        assert source.name == "__init__.py" or mirror.exists() != listed, (
            f"{source}: either {mirror.relative_to(ROOT)} or a row of TESTED_IN"
        )


def test_source_files_that_are_tested_elsewhere_and_their_tests_exist() -> None:
    files = [*TESTED_IN, *(f"tests/{test}" for test in TESTED_IN.values())]

    assert [file for file in files if not (ROOT / file).exists()] == []


@pytest.mark.parametrize("folder", LAYERS)
def test_files_of_a_folder_import_each_other_in_no_circle(folder: str) -> None:
    files = sorted((ROOT / folder).rglob("*.py"))
    below = {
        file: {target for _, target in imported_files(file)} - {file} for file in files
    }

    order = [*TopologicalSorter(below).static_order()]

    assert set(files) <= set(order)


DEFINED_TWICE = {
    "Change": "of a live config, and of a schema: public names of two packages",
    "Edit": "of a live config, and of a blueprint: public names of two packages",
    "comment_lines": "each text format of configs says it of its own texts",
    "dump_schema": "of a config, and of records: the verbs of two public packages",
    "load_schema": "of a config, and of records: the verbs of two public packages",
    "main": "what each subcommand of the command is called by",
    "read": "what each text format of configs reads with",
    "schema_of": "of a config, and of records: the verbs of two public packages",
    "write": "what each text format of configs writes with",
}
"""Public names that several files define, and why each means one thing all the same."""


def test_a_public_name_is_defined_in_one_file() -> None:
    files_by_name = defaultdict[str, set[str]](set)
    for folder in LAYERS:
        for file in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.parse(file.read_text()).body:
                if isinstance(node, ast.FunctionDef | ast.ClassDef):
                    files_by_name[node.name].add(str(file.relative_to(ROOT)))

    several = {
        name: files
        for name, files in files_by_name.items()
        if len(files) > 1 and not name.startswith("_")
    }

    assert several.keys() == DEFINED_TWICE.keys(), (
        "one word means one thing: give another name, or a reason in DEFINED_TWICE: "
        f"{ {n: f for n, f in several.items() if n not in DEFINED_TWICE} }"
    )


@cache
def imports(file: Path) -> list[ast.Import | ast.ImportFrom]:
    """Return the statements of a file that import; most tests here ask for them."""
    nodes = ast.walk(ast.parse(file.read_text()))
    return [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]


def imported_files(file: Path) -> list[tuple[int, Path]]:
    """Return (line, file of the same part of burnish) of every relative import."""
    targets: list[tuple[int, Path]] = []
    for node in imports(file):
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
    for node in imports(file):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            target = (*base, *(node.module or "").split("."))
            found += [(node.lineno, t) for t in target[1:2] if t]
        else:
            names = [getattr(node, "module", None), *(a.name for a in node.names)]
            assert not any(str(n).split(".")[0] == "burnish" for n in names), (
                f"{file}:{node.lineno}: import siblings relatively"
            )
    return found
