"""Dictionaries that try to make a reader import, call or allocate something."""

from typing import Any

LINEAR = {
    "__module__": "torch.nn.modules.linear",
    "__name__": "Linear",
    "in_features": 2,
    "out_features": 2,
}
RELU = {"__module__": "torch.nn", "__name__": "ReLU"}


def named(module: Any, name: Any, **more: Any) -> dict[str, Any]:
    return {"__module__": module, "__name__": name, **more}


def deep(levels: int) -> dict[str, Any]:
    node: dict[str, Any] = dict(RELU)
    for _ in range(levels):
        node = named("torch.nn", "Sequential", args=[node])
    return node


def deep_list(levels: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(levels):
        found = [found]
    return found


NAMES = [
    # Functions and classes that are not modules, by their own names and by others.
    ("os", "system"),
    ("posix", "system"),
    ("subprocess", "Popen"),
    ("subprocess", "call"),
    ("builtins", "exec"),
    ("builtins", "eval"),
    ("builtins", "__import__"),
    ("builtins", "open"),
    ("builtins", "object"),
    ("builtins", "type"),
    ("importlib", "import_module"),
    ("pickle", "loads"),
    ("torch", "load"),
    ("torch.hub", "load"),
    ("torch.serialization", "load"),
    ("torch.utils.cpp_extension", "load_inline"),
    ("ctypes", "CDLL"),
    ("shutil", "rmtree"),
    ("pathlib", "Path"),
    ("code", "interact"),
    ("pty", "spawn"),
    ("runpy", "run_path"),
    ("webbrowser", "open"),
    ("socket", "socket"),
    ("antigravity", "x"),
    ("this", "s"),
    ("marshal", "loads"),
    ("timeit", "timeit"),
    ("functools", "partial"),
    ("operator", "methodcaller"),
    # Names that another module re-exports, and dotted ways to them.
    ("logging", "os.system"),
    ("torch.nn.modules.module", "torch.os.system"),
    ("torch.nn.modules.linear", "torch.os.system"),
    ("torch.nn", "Module.__init__"),
    ("torch.nn", "Linear.__class__"),
    ("torch.nn", "Linear.__init__.__globals__"),
    ("torch.nn", "Linear.forward"),
    ("torch.nn", "functional.relu"),
    ("torch.nn", "modules.linear.Linear"),
    ("torch.nn.modules", "Linear"),
    ("torch", "nn.Linear"),
    ("torch.nn", "__builtins__"),
    ("torch.nn", "__loader__"),
    ("torch.nn.parallel", "DistributedDataParallel"),
    ("torch.nn.functional", "relu"),
    ("torch.nn", "Parameter"),
    ("torch.jit", "ScriptModule"),
    ("torch.package", "PackageImporter"),
    ("torch.fx", "GraphModule"),
    # Names that look like the right ones.
    ("torch.nn", "linear"),
    ("torch.nn", "Linear "),
    ("torch.nn", "Linear\x00"),
    ("torch.nn", "L\u0456near"),
    ("torch.nn.", "Linear"),
    ("TORCH.NN", "Linear"),
    ("", "Linear"),
    ("torch.nn", ""),
    ("__main__", "Net"),
    ("never_imported_package.net", "Net"),
    ("../net", "Net"),
    ("/etc/passwd", "Net"),
    ("http://example.org/net.py", "Net"),
    ("x" * 1_000_000, "y" * 1_000_000),
]

SHAPES: list[Any] = [
    None,
    [],
    "torch.nn.Linear",
    {},
    {"__name__": "Linear"},
    {"__module__": "torch.nn"},
    named(None, None),
    named(["torch.nn"], ["Linear"]),
    named({"__module__": "torch.nn"}, "Linear"),
    named("torch.nn", 7),
    {**LINEAR, "__registered__": "os.system", "__module__": "os"},
    {**LINEAR, "__registered__": ["os"], "__module__": "os"},
    {**LINEAR, "__class__": "os.system"},
    {**LINEAR, "__init__": "os.system"},
    {**LINEAR, "__reduce__": ["os.system", ["true"]]},
    {**LINEAR, "__call__": 1},
    {**LINEAR, "forward": "os.system"},
    {**LINEAR, "_target_": "os.system"},
    {**LINEAR, "": 1},
    {**LINEAR, 3: 1},
    {**LINEAR, "in_features": named("os", "system")},
    {**LINEAR, "in_features": {"__class__": named("os", "system")}},
    {**LINEAR, "in_features": {"__class__": "os.system"}},
    {**LINEAR, "in_features": {"__class__": {"__class__": named("os", "system")}}},
    {**LINEAR, "in_features": {"__ref__": "os.system"}},
    {**LINEAR, "in_features": {"__ref__": ""}},
    {**LINEAR, "in_features": {"__ref__": 3}},
    {**LINEAR, "in_features": {"__ref__": "in_features"}},
    {
        **LINEAR,
        "in_features": {"__tensor__": {"shape": [2**60], "dtype": "torch.int8"}},
    },
    {**LINEAR, "in_features": {"__tensor__": {"shape": [-1], "dtype": "torch.int8"}}},
    {**LINEAR, "in_features": {"__tensor__": {"shape": [1], "dtype": "os.system"}}},
    {**LINEAR, "in_features": {"__tensor__": "os.system"}},
    {**LINEAR, "in_features": 10**4000},
    {**LINEAR, "in_features": 10**18, "out_features": 10**18},
    {**LINEAR, "in_features": 2**63},
    {**LINEAR, "in_features": -1},
    {**LINEAR, "in_features": "2"},
    {**LINEAR, "in_features": float("nan")},
    {**LINEAR, "in_features": float("inf")},
    {**LINEAR, "in_features": [2]},
    {**LINEAR, "in_features": deep_list(50_000)},
    {**LINEAR, "dtype": "os.system"},
    {**LINEAR, "dtype": {"__class__": RELU}},
    {**LINEAR, "device": "os.system"},
    {**LINEAR, "bias": named("os", "system")},
    {**LINEAR, "__containers__": {"in_features": "os.system"}},
    {**LINEAR, "__containers__": {"in_features": "ModuleList"}},
    {**LINEAR, "__containers__": ["os.system"]},
    deep(80),
    deep(100_000),
    named("torch.nn", "Sequential", args=[named("os", "system")]),
    named("torch.nn", "Sequential", args="os.system"),
    named("torch.nn", "Sequential", args=[print]),
    named("torch.nn", "Sequential", args=[{"__ref__": "args.0"}]),
    named("torch.nn", "Sequential", args=[{"a.b": RELU}]),
    named("torch.nn", "Sequential", args=[1, 2]),
    named("torch.nn", "ModuleDict", modules={"x": named("os", "system")}),
    named("torch.nn", "ModuleDict", modules={"training": RELU}),
    named("torch.nn", "ModuleList", modules=7),
    named("torch.nn", "Container", kwargs={"__class__": RELU}),
    named("torch.nn", "ParameterList", values=[{"__tensor__": {"shape": [2**39] * 3}}]),
    named(
        "torch.nn", "TransformerEncoderLayer", d_model=8, nhead=2, activation="system"
    ),
    named("torch.nn", "TransformerEncoder", encoder_layer=named("os", "system")),
    named("torch.nn", "TransformerEncoder", encoder_layer=RELU, num_layers="x"),
    named("torch.nn", "RNNBase", mode="os.system", input_size=1, hidden_size=1),
    named("torch.nn", "Upsample", mode="os.system", size={"__ref__": "x"}),
    named("torch.nn", "Module", args=[1], kwargs={"a": 1}),
]

ALL: list[Any] = [named(module, name) for module, name in NAMES] + SHAPES
