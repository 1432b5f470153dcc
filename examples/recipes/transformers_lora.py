"""LoRA on a model of transformers: the adapter is a file of its own.

python transformers_lora.py      # needs peft

Nothing is downloaded: the model is built from its config. With weights from elsewhere,
`burnish.from_record(build, "folder/model.safetensors")` builds it without init.
"""

from pathlib import Path
from typing import Any

import torch
from transformers import GPT2Config, GPT2LMHeadModel

import burnish
from burnish.optim import AdamW


def base() -> Any:
    """Return the model that stays as it is."""
    config = GPT2Config(vocab_size=32, n_positions=16, n_embd=32, n_layer=2, n_head=2)
    config.pad_token_id = config.bos_token_id = config.eos_token_id = 0
    return GPT2LMHeadModel(config)


def adapted(model: Any) -> Any:
    """Return ``model`` with adapters, all else frozen."""
    try:
        from peft import LoraConfig, get_peft_model  # pyright: ignore[reportMissingImports]  # optional
    except ImportError:
        raise ImportError("this example needs peft: pip install peft") from None
    return get_peft_model(
        model, LoraConfig(r=4, target_modules=["c_attn"], fan_in_fan_out=True)
    )


def main() -> tuple[float, float]:
    """Tune the adapters alone; return the first and the last loss."""
    torch.manual_seed(0)
    model = base()
    burnish.save_record(model, "base.mpk")
    tuned = adapted(model)
    optimizer = AdamW().bind(tuned, lr=2e-2)  # frozen parameters have no state

    tokens = torch.arange(16).repeat(8, 1) % 7 + 1
    losses: list[float] = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = tuned(input_ids=tokens, labels=tokens).loss
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    burnish.save_record(tuned, "adapter.mpk", only=burnish.trainable)
    sizes = [Path(name).stat().st_size for name in ("base.mpk", "adapter.mpk")]
    print(f"loss {losses[0]:.2f} to {losses[-1]:.2f}; base and adapter: {sizes} bytes")

    # Elsewhere: the base without init, the adapter into it, and merged.
    again = adapted(burnish.from_record(base, "base.mpk"))
    burnish.load_record(again, "adapter.mpk", strict=False)
    merged = again.merge_and_unload()
    same = merged.eval()(tokens).logits - tuned.eval()(tokens).logits
    assert same.abs().max() < 1e-4
    return losses[0], losses[-1]


if __name__ == "__main__":
    main()
