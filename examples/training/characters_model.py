"""Text of Python's own documentation, and a network that continues it."""

from pydoc_data.topics import topics
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset

from burnish.config import Hparam
from burnish.train import DataHparams, DataModule, Model, ModelHparams

CHARACTERS = "\n" + "".join(map(chr, range(32, 127)))
"""What is read; every other character is a line break."""


class CharactersHparams(ModelHparams):
    """How much the network remembers."""

    width: int = Hparam(default=64, ge=1)
    n_layers: int = Hparam(default=1, ge=1)


class Characters(Model[CharactersHparams]):
    """A recurrent network that gives scores for the next character."""

    def __init__(self, hparams: CharactersHparams | dict[str, Any]) -> None:
        super().__init__(hparams)
        width = self.thparams.width
        self.embedding = nn.Embedding(len(CHARACTERS), width)
        self.memory = nn.GRU(width, width, self.thparams.n_layers, batch_first=True)
        self.scores = nn.Linear(width, len(CHARACTERS))

    def forward(self, x: Tensor) -> Tensor:
        """Return scores for the character after each one of ``x``."""
        remembered, _ = self.memory(self.embedding(x))
        scores: Tensor = self.scores(remembered)
        return scores

    def compute_metrics(self, batch: list[Tensor], batch_idx: int) -> dict[str, Tensor]:
        """Return the loss of the next characters of each text."""
        text = batch[0]
        outputs = self(text[:, :-1]).flatten(0, 1)
        return {"loss": nn.functional.cross_entropy(outputs, text[:, 1:].flatten())}

    @torch.no_grad()
    def continued(self, text: str, n_characters: int = 60) -> str:
        """Return ``text`` and what the network thinks comes next."""
        for _ in range(n_characters):
            scores = self(encoded(text).unsqueeze(0))[0, -1]
            text += CHARACTERS[int(scores.argmax())]
        return text


class DocumentationHparams(DataHparams):
    """How much text there is, and in pieces of what length."""

    n_pieces: int = Hparam(default=512, ge=10)
    length: int = Hparam(default=64, ge=2)


class Documentation(DataModule[DocumentationHparams]):
    """The topics of ``help()``, which are part of every Python."""

    def get_dataset(self) -> Dataset[Any]:
        """Return pieces of text as numbers of characters."""
        h = self.thparams
        text = encoded("\n".join(topics[name] for name in sorted(topics)))
        pieces = text[: h.n_pieces * h.length].reshape(-1, h.length)
        return TensorDataset(pieces)


def encoded(text: str) -> Tensor:
    """Return the numbers of the characters of ``text``."""
    numbers = {character: i for i, character in enumerate(CHARACTERS)}
    return torch.tensor([numbers.get(character, 0) for character in text])
