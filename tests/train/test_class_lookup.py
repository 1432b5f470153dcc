"""Names of classes are looked up, and import nothing."""

import sys
from pathlib import Path

import pytest
import torch

from .lightning.models import SHORT_RUNS, Net, data, trainer

torch.set_num_threads(1)


pytestmark = SHORT_RUNS


def test_a_name_from_a_checkpoint_imports_nothing(tmp_path: Path) -> None:
    (tmp_path / "sneaky_module.py").write_text("raise SystemExit('imported')")
    sys.path.insert(0, str(tmp_path))
    try:
        run = trainer(tmp_path, 1)
        run.fit(Net({}), datamodule=data())
        folder = Path(run.checkpoint_callback.last_model_path)  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]  # ours has it
        from burnish.train import Checkpoint
        from burnish.train.lightning.record_io import RecordIO, read_checkpoint

        tree = read_checkpoint(folder)
        chosen = tree["hyper_parameters"]["hparams"]["optimizer"]
        chosen["module_name"] = "sneaky_module.Optimizer"
        RecordIO().save_checkpoint(tree, folder)
        assert Checkpoint.read(folder).parts == ["model", "training"]
        model = Net.load_from_checkpoint(folder)

        with pytest.raises(ValueError, match="checkpoints import nothing"):
            model.configure_optimizers()
    finally:
        sys.path.remove(str(tmp_path))
