"""SAM (Foret et al., 2021, arXiv:2010.01412): two passes around any optimizer's step.

A step sees one gradient, and SAM wants that of another point, so it stands outside:

    loss = sam_step(net, AdamW().bind(net, lr=1e-3), lambda: loss_of(net(x), y))
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn


def sam_step(
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    compute_loss: Callable[[], Tensor],
    rho: float = 0.05,
) -> Tensor:
    """Step along the gradient at the worst point near by; return the loss before.

    ``rho`` is how far that point is, in the norm of all parameters together; the batch
    has to be the same in both calls of ``compute_loss``. What is clipped is the second
    gradient.
    """
    loss = _backward(optimizer, compute_loss)
    params = [p for p in net.parameters() if p.grad is not None]
    values = [p.detach().clone() for p in params]
    with torch.no_grad():
        _climb(params, rho)
    try:
        _backward(optimizer, compute_loss)
    finally:
        # Copied back, not subtracted: the sum of two roundings is not nothing.
        with torch.no_grad():
            for parameter, value in zip(params, values, strict=True):
                parameter.copy_(value)
    optimizer.step()
    return loss


def _backward(
    optimizer: torch.optim.Optimizer, compute_loss: Callable[[], Tensor]
) -> Tensor:
    optimizer.zero_grad()
    loss = compute_loss()
    loss.backward()  # type: ignore[no-untyped-call]  # torch's has no types
    return loss.detach()


def _climb(params: list[nn.Parameter], rho: float) -> None:
    grads = [p.grad for p in params if p.grad is not None]
    norm = torch.stack([grad.norm().cpu() for grad in grads]).norm().item()
    for parameter, grad in zip(params, grads, strict=True):
        parameter.add_(grad, alpha=rho / (norm + 1e-12))
