"""What does `import burnish` cost, and what does it drag in?

Each run is a fresh interpreter. Peer: `import safetensors`, without its torch part.
"""

import json
import subprocess
import sys

from harness import PAIRS, Row, Samples

_SCRIPT = """
import sys, time
before = set(sys.modules)
wall, cpu = time.perf_counter(), time.process_time()
import {name}
cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
new = {{m.partition(".")[0] for m in set(sys.modules) - before}}
others = new - set(sys.stdlib_module_names) - {{"{name}"}}
print("[%r, %r, %d]" % (cpu, wall, len(others)))
"""


def run() -> list[Row]:
    samples = {"burnish": Samples(), "safetensors": Samples()}
    foreign = 0
    for round_ in range(PAIRS + 1):
        for name in samples:
            cpu, wall, others = fresh(name)
            if name == "burnish":
                foreign = max(foreign, others)
            if round_:
                samples[name].cpu.append(cpu)
                samples[name].wall.append(wall)
    ours, peer = samples["burnish"], samples["safetensors"]
    median = sorted(ours.wall)[PAIRS // 2] * 1e3
    return [
        Row.bounded("packages imported", "fresh process", foreign, "others", at_most=0),
        Row.bounded("import", "fresh process", median, "ms", at_most=5),
        Row.timed("import / safetensors", "fresh process", ours, peer),
    ]


def fresh(name: str) -> tuple[float, float, int]:
    """Return CPU and wall seconds of one import, and how many packages came with it."""
    command = [sys.executable, "-c", _SCRIPT.format(name=name)]
    answer = subprocess.run(command, capture_output=True, check=True, text=True)
    cpu, wall, others = json.loads(answer.stdout)
    return cpu, wall, others
