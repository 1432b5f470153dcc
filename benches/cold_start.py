"""How soon does a fresh process hold a module with its weights?

Each run is a forked process that has imported the libraries and loaded one small layer.
Garbage is collected as ever. Peers: the meta device with safetensors, and `__init__`
with `torch.load`. The floor is the same by hand: the constructor without init, a map of
our file, and its values as the memory of parameters, with no question asked of either.
"""

import math
import mmap
import statistics
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import msgpack
import torch
import xxhash
from harness import Row, Samples, forked, race, scratch
from models import ManyBlocks, gpt2
from peers import load_safetensors, load_torch, save_safetensors, save_torch
from torch import nn

import burnish

Build = Callable[[], nn.Module]


def run() -> list[Row]:
    torch.set_num_threads(1)
    rows: list[Row] = []
    with scratch() as folder:
        warm_up(folder)
    with scratch() as folder:
        write(gpt2(), folder)
        rows += gpt2_rows(folder)
    with scratch() as folder:
        write(ManyBlocks(), folder)
        rows += many_rows(folder)
    return rows


def gpt2_rows(folder: str) -> list[Row]:
    case = "GPT-2"
    times = race(
        {
            "lazy": lambda: ours(gpt2, folder, verify=False),
            "verified": lambda: ours(gpt2, folder, verify=True),
            "meta": lambda: meta_and_safetensors(folder),
            "constructor": gpt2_without_init,
            "hand": lambda: by_hand(gpt2_without_init, folder, verify=False),
        },
        isolated=True,
        collecting=True,
    )
    against_torch = race(
        {
            "verified": lambda: ours(gpt2, folder, verify=True),
            "init": lambda: init_and_torch(gpt2, folder),
        },
        isolated=True,
        collecting=True,
    )
    assert_equal(gpt2, folder)
    lazy, verified, meta = times["lazy"], times["verified"], times["meta"]
    constructor = times["constructor"]
    floor = statistics.median(constructor.cpu)
    beyond = 1e3 * (statistics.median(lazy.cpu) - floor)
    beyond_by_hand = 1e3 * (statistics.median(times["hand"].cpu) - floor)
    return [
        Row.timed("verify=False / meta + safetensors", case, lazy, meta, at_most=0.45),
        Row.timed("constructor without init / same", case, constructor, meta),
        Row.bounded("verify=False beyond that", case, beyond, "ms cpu", at_most=1.0),
        Row(
            question="by hand beyond that",
            case=case,
            ours=beyond_by_hand,
            unit="ms cpu",
        ),
        Row.timed(
            "verified / init + torch.load", case, *pair_of(against_torch), at_most=0.1
        ),
        Row.timed("verified / meta + safetensors", case, verified, meta),
        *thread_rows(folder, case),
    ]


def pair_of(times: dict[str, Samples]) -> tuple[Samples, Samples]:
    first, second = times.values()
    return first, second


def thread_rows(folder: str, case: str) -> list[Row]:
    """Return what a second thread is good for, beside what it is for the hash alone."""
    file = f"{folder}/net.mpk"
    times = race(
        {
            "one": lambda: on_threads(1, folder),
            "two": lambda: on_threads(2, folder),
            "hash": lambda: hash_of(file),
            "halves": lambda: hash_halves(file),
        },
        isolated=True,
        collecting=True,
    )
    one, two, hashed, halves = times.values()
    return [
        Row.timed("verified, 2 threads to 1, wall", case, two, one, by="wall"),
        Row.timed("verified, 2 threads to 1, cpu", case, two, one),
        Row.timed(
            "verified, 2 threads / hash, wall",
            case,
            two,
            hashed,
            at_most=0.65,
            by="wall",
        ),
        Row.timed("hash by 2 threads / by one, wall", case, halves, hashed, by="wall"),
    ]


def many_rows(folder: str) -> list[Row]:
    case = "5,000 modules"
    times = race(
        {
            "verified": lambda: ours(ManyBlocks, folder, verify=True),
            "init": lambda: init_and_torch(ManyBlocks, folder),
            "constructor": constructed_without_init,
            "hand": lambda: by_hand(constructed_without_init, folder, verify=True),
        },
        isolated=True,
        collecting=True,
    )
    assert_equal(ManyBlocks, folder)
    verified, init = times["verified"], times["init"]
    return [
        Row.timed("verified / init + torch.load", case, verified, init, at_most=0.15),
        Row.timed("constructor without init / same", case, times["constructor"], init),
        Row.timed("by hand / same", case, times["hand"], init),
    ]


def by_hand(build: Build, folder: str, *, verify: bool) -> nn.Module:
    """Return what ``build`` does over the values of our file, read in plain Python."""
    module = build()
    with open(f"{folder}/net.mpk", "rb") as opened:
        pages = memoryview(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_COPY))
    # The header's length, the header, its sum, and the head of the payloads' array.
    length = int.from_bytes(pages[18:22], "big")
    table = msgpack.unpackb(pages[22 : 22 + length])["tensors"]
    start = 22 + length + 27
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    columns = (table[name] for name in ("path", "dtype", "shape", "offset"))
    sums: list[bytes] = []
    for path, name, shape, offset in zip(*columns, strict=True):
        dtype, count = getattr(torch, name), math.prod(shape)
        values = torch.frombuffer(
            pages, dtype=dtype, count=count, offset=start + offset
        )
        if verify:
            payload = pages[start + offset :][: count * dtype.itemsize]
            sums.append(xxhash.xxh3_64_digest(payload))
        tensors[path].data = values.view(shape)
    for number, ties in table["ties"]:
        for path in tensors.keys() & ties:
            tensors[path].data = tensors[table["path"][number]].data
    if verify and b"".join(sums) != bytes(pages[-25 - 8 * len(sums) : -25]):
        raise RuntimeError("the values have other sums than the file says")
    return module


def constructed_without_init() -> nn.Module:
    """Return the modules, whose layers leave their memory as it is: the floor."""
    for layer in (nn.Linear, nn.LayerNorm):
        layer.reset_parameters = lambda _: None  # type: ignore[method-assign]
    return ManyBlocks()


def gpt2_without_init() -> nn.Module:
    """Return the model by its library's own way to initialize nothing: the floor."""
    from transformers.initialization import no_init_weights

    for layer in (nn.Linear, nn.LayerNorm, nn.Embedding):
        layer.reset_parameters = lambda _: None  # type: ignore[method-assign]
    with no_init_weights():
        return gpt2()


def warm_up(folder: str) -> None:
    """Import what each way imports when it is first used."""
    write(nn.Linear(2, 2), folder)
    ours(lambda: nn.Linear(2, 2), folder, verify=True)
    init_and_torch(lambda: nn.Linear(2, 2), folder)
    load_safetensors(f"{folder}/net.safetensors")


def write(module: nn.Module, folder: str) -> None:
    state = module.state_dict()
    save_torch(state, f"{folder}/net.pt")
    state.pop("lm_head.weight", None)
    save_safetensors(state, f"{folder}/net.safetensors")
    burnish.save_record(module, f"{folder}/net.mpk")


def ours(build: Build, folder: str, *, verify: bool) -> nn.Module:
    file = burnish.open_record(f"{folder}/net.mpk", verify=verify)
    return burnish.from_record(build, file)


def on_threads(count: int, folder: str) -> nn.Module:
    torch.set_num_threads(count)
    return ours(gpt2, folder, verify=True)


def hash_of(file: str) -> bytes:
    """Return the sum of a file, as one thread computes it over a map."""
    with open(file, "rb") as opened:
        pages = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    return xxhash.xxh3_64_digest(pages)


def hash_halves(file: str) -> list[bytes]:
    """Return the sums of the two halves of a file, each computed by a thread."""
    with open(file, "rb") as opened:
        pages = memoryview(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))
    middle = len(pages) // 2
    with ThreadPoolExecutor(2) as pool:
        return [*pool.map(xxhash.xxh3_64_digest, (pages[:middle], pages[middle:]))]


def init_and_torch(build: Build, folder: str) -> nn.Module:
    module = build()
    module.load_state_dict(load_torch(f"{folder}/net.pt"))
    return module


def meta_and_safetensors(folder: str) -> nn.Module:
    with torch.device("meta"):
        module = gpt2()
    state = load_safetensors(f"{folder}/net.safetensors")
    state["lm_head.weight"] = state["transformer.wte.weight"]
    module.load_state_dict(state, assign=True, strict=False)
    module.get_submodule("lm_head").weight = module.get_parameter(
        "transformer.wte.weight"
    )
    return module


def assert_equal(build: Build, folder: str) -> None:
    """Raise unless our module holds what torch's own loading gives."""

    def compare() -> bool:
        mine = ours(build, folder, verify=True).state_dict()
        theirs = load_torch(f"{folder}/net.pt")
        return mine.keys() == theirs.keys() and all(
            torch.equal(mine[path], theirs[path]) for path in theirs
        )

    if not forked(compare):
        raise RuntimeError("the module that was built differs from the one saved")
