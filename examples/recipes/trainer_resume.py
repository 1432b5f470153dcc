"""transformers' Trainer with our optimizer and checkpoints, resumed to the bit.

python trainer_resume.py      # stop it, run it again: the weights are the same
"""

from typing import Any

import torch
import transformers

from burnish.optim import AdamW
from burnish.train import Checkpoints


class Records(transformers.TrainerCallback):
    """Keep a checkpoint of each step, and begin from the newest one."""

    def __init__(self, folder: str, model: Any, optimizer: Any) -> None:
        self.checkpoints = Checkpoints(folder, keep_last=2)
        self.parts: dict[str, Any] = {"model": model, "optimizer": optimizer}
        self.done = self.checkpoints.latest or 0

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        # Not earlier: the Trainer seeds anew, and its loader draws a number.
        if self.done and not state.global_step:
            self.checkpoints.restore(**self.parts, rng=True)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        step = self.done + state.global_step
        self.checkpoints.save(step, **self.parts, rng=True)


def main(n_steps: int = 6, folder: str = "runs/trainer") -> Any:
    """Train up to ``n_steps`` in all, and return the model."""
    config = transformers.GPT2Config(
        vocab_size=32, n_positions=8, n_embd=16, n_layer=1, n_head=2
    )
    config.pad_token_id = config.bos_token_id = config.eos_token_id = 0
    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(config)
    tokens = torch.randint(1, 32, (24, 8))
    optimizer = AdamW().bind(model, lr=1e-2)
    records = Records(folder, model, optimizer)
    # The batches that were not seen yet, in an order that no generator decides.
    batches = [{"input_ids": row, "labels": row} for row in tokens.repeat(n_steps, 1)]
    left = batches[records.done * 4 : n_steps * 4]
    if left:
        arguments = transformers.TrainingArguments(
            "runs/out",
            max_steps=n_steps - records.done,
            per_device_train_batch_size=4,
            train_sampling_strategy="sequential",
            lr_scheduler_type="constant",
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            use_cpu=True,
        )
        trainer: Any = transformers.Trainer(
            model,
            arguments,
            train_dataset=left,
            optimizers=(optimizer, None),
            callbacks=[records],
        )
        trainer.train()
    print(f"{records.checkpoints.steps[-1]} steps, begun at {records.done}")
    return model


if __name__ == "__main__":
    main()
