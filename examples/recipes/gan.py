"""A GAN: two modules, two optimizers, one checkpoint.

python gan.py      # run it again, and it goes on to the same bits
"""

from typing import Any

import torch
from torch import nn

import burnish
from burnish.optim import Adam
from burnish.train import Checkpoints


@burnish.module
class Generator(nn.Module):
    def __init__(self, n_noise: int = 4, width: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_noise, width), nn.ReLU(), nn.Linear(width, 1)
        )

    def forward(self, noise: torch.Tensor) -> torch.Tensor:
        return self.layers(noise)


@burnish.module
class Critic(nn.Module):
    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(1, width), nn.LeakyReLU(0.2), nn.Linear(width, 1)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


def main(n_steps: int = 300, folder: str = "runs/gan") -> torch.Tensor:
    """Learn to draw from N(3, 0.5); return a thousand draws."""
    torch.manual_seed(0)
    generator, critic = Generator(), Critic()
    of_generator = Adam(betas=(0.5, 0.9)).bind(generator, lr=2e-3)
    of_critic = Adam(betas=(0.5, 0.9)).bind(critic, lr=2e-3)
    parts: dict[str, Any] = {
        "generator": generator,
        "critic": critic,
        "of_generator": of_generator,
        "of_critic": of_critic,
    }

    checkpoints = Checkpoints(folder, keep_last=2)
    step = checkpoints.restore(**parts, rng=True)  # all of them, or none
    loss_of = nn.functional.binary_cross_entropy_with_logits
    while step < n_steps:
        real, fake = torch.randn(64, 1) / 2 + 3, generator(torch.randn(64, 4))
        of_critic.zero_grad()
        on_real, on_fake = critic(real), critic(fake.detach())
        ones, zeros = torch.ones_like(on_real), torch.zeros_like(on_fake)
        (loss_of(on_real, ones) + loss_of(on_fake, zeros)).backward()
        of_critic.step()
        of_generator.zero_grad()
        loss_of(critic(fake), ones).backward()
        of_generator.step()
        step += 1
        if step % 50 == 0:
            checkpoints.save(step, **parts, rng=True)
    with torch.no_grad():
        draws: torch.Tensor = generator(torch.randn(1000, 4))
    print(
        f"mean {draws.mean():.2f}, deviation {draws.std():.2f}; 3 and 0.5 are asked for"
    )
    return draws


if __name__ == "__main__":
    main()
