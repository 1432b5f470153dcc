"""Load a part of a record over HTTP: only the bytes that are asked for are fetched.

    python partial_http.py https://somewhere/net.mpk      # needs fsspec and aiohttp

The server has to answer requests for ranges, as those of object storages do.
"""

import sys

import torch
from torch import nn

import burnish


class Net(burnish.Module):
    def __init__(self, width: int = 2048) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, width), nn.Linear(width, width))
        self.head = nn.Linear(width, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.encoder(x))


def main(url: str) -> Net:
    """Take the head out of a file of many megabytes; return the module with it."""
    with burnish.open_record(url) as record:
        # Names, shapes and dtypes stand in the header: nothing else is fetched yet.
        for path in record:
            print(path)
        bias = record["head.bias"]  # now its bytes, and their checksum is compared
        print(f"head.bias: {tuple(bias.shape)}, mean {bias.mean():.3f}")

    net = Net()
    report = net.load_record(burnish.open_record(url, only="head.**"))
    print(report)
    return net


if __name__ == "__main__":
    main(sys.argv[1])
