"""Adapters of peft: saved, loaded and merged as parameters like all others.

python examples/lora_peft.py
"""

import tempfile
from pathlib import Path
from typing import Any

import torch
from lora import data, is_frozen, network, train

import burnish


def adapted() -> Any:
    """Return the network with adapters of peft; all else is frozen by peft."""
    try:
        from peft import LoraConfig, get_peft_model  # pyright: ignore[reportMissingImports]  # optional
    except ImportError:
        raise ImportError("this example needs peft: pip install peft") from None

    net: Any = network()
    return get_peft_model(net, LoraConfig(r=4, target_modules=["0", "2"]))


def main() -> None:
    """Train adapters, bring them into another copy, and merge them there."""
    x, y = data()
    model = adapted()
    loss = train(model, x, y)
    n_trained = burnish.num_params(model, burnish.trainable)
    print(f"loss {loss:.4f} with {n_trained} of {burnish.num_params(model)}")

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "adapters.mpk"
        # peft names the adapter in the paths: `only="**.default.*"` is one of several.
        burnish.save_record(model, file, only=burnish.trainable)

        again = adapted()
        report = burnish.load_record(again, file, allow_missing=is_frozen)
        print(f"{len(report.loaded)} adapters loaded")
        assert torch.equal(again(x), model(x))

        whole = Path(folder) / "merged.mpk"
        burnish.save_record(again.merge_and_unload(), whole)
        plain = burnish.from_record(network, whole)
        assert torch.allclose(plain(x), model(x), atol=1e-5)


if __name__ == "__main__":
    main()
