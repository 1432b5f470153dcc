"""Small models of every architecture that can be built without a network."""

import contextlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

SMALL: dict[str, int] = {
    "hidden_size": 32,
    "d_model": 32,
    "n_embd": 32,
    "embed_dim": 32,
    "embedding_size": 32,
    "dim": 32,
    "d_kv": 8,
    "d_ff": 48,
    "head_dim": 8,
    "intermediate_size": 48,
    "ffn_dim": 48,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "moe_intermediate_size": 24,
    "shared_expert_intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_layers": 2,
    "n_layer": 2,
    "n_layers": 2,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "num_encoder_layers": 2,
    "num_decoder_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_heads": 4,
    "n_head": 4,
    "n_heads": 4,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "num_experts": 4,
    "num_local_experts": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "vocab_size": 128,
    "max_position_embeddings": 64,
    "n_positions": 64,
    "image_size": 32,
    "patch_size": 8,
    "projection_dim": 16,
}
"""Sizes of a config by the names that configs share, each where a config has it."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """A class of models and how one small model of it is built."""

    name: str
    build: Callable[[], nn.Module]


def transformers_architectures() -> Iterator[Architecture]:
    """Yield each base model and each language model that transformers knows.

    Building may fail: sizes that are right for most configs do not fit some.
    """
    from transformers.models.auto import modeling_auto

    tables = (
        modeling_auto.MODEL_MAPPING_NAMES,
        modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES,
        modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
        modeling_auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES,
        modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
        modeling_auto.MODEL_FOR_CTC_MAPPING_NAMES,
        modeling_auto.MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES,
    )
    names: dict[str, None] = {}
    for table in tables:
        for entry in table.values():
            for name in (entry,) if isinstance(entry, str) else entry:
                names[name] = None
    for name in names:
        yield Architecture(f"transformers.{name}", _transformers_builder(name))


def torchvision_architectures() -> Iterator[Architecture]:
    """Yield torchvision's models; nothing where it is missing."""
    try:
        _declare_operators()
        from torchvision import models  # type: ignore[import-not-found, unused-ignore]  # optional
    except (ImportError, RuntimeError):
        return
    for name in models.list_models():

        def build(name: str = name) -> nn.Module:
            builder = models.get_model_builder(name)
            known = inspect.signature(builder).parameters
            options: dict[str, Any] = {"weights": None}
            if "weights_backbone" in known:
                options["weights_backbone"] = None
            module: nn.Module = builder(**options)
            return module

        yield Architecture(f"torchvision.{name}", build)


def timm_architectures() -> Iterator[Architecture]:
    """Yield one model of each of timm's modules; nothing where it is missing."""
    try:
        import timm  # type: ignore[import-not-found, unused-ignore]  # optional
    except (ImportError, RuntimeError):
        return
    for family in timm.list_modules():
        for name in timm.list_models(module=family)[:2]:

            def build(name: str = name) -> nn.Module:
                module: nn.Module = timm.create_model(name, pretrained=False)
                return module

            yield Architecture(f"timm.{name}", build)


def _declare_operators() -> None:
    """Let torchvision be imported where its compiled part does not fit this torch.

    Its models can be built without the operators, but not imported.
    """
    global _torchvision_library
    if _torchvision_library is None:
        library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]  # of torch
        for schema in _TORCHVISION_OPERATORS:
            library.define(schema)  # type: ignore[no-untyped-call]  # of torch
        _torchvision_library = library


_torchvision_library: torch.library.Library | None = None
_TORCHVISION_OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


def _transformers_builder(name: str) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        import transformers

        cls: Any = getattr(transformers, name)
        config = cls.config_class()
        _shrink(config)
        module: nn.Module = cls(config)
        return module

    return build


def _shrink(config: Any) -> None:
    from transformers import PretrainedConfig

    for value in list(vars(config).values()):
        if isinstance(value, PretrainedConfig):
            _shrink(value)
    for name, size in SMALL.items():
        current = getattr(config, name, None)
        if type(current) is int and current > size:
            # Some configs refuse a write to what they compute from other fields.
            with contextlib.suppress(Exception):
                setattr(config, name, size)
