"""The formats of records that are written: one table for the tests of every folder."""

from burnish.records import Recorder

RECORDERS = {
    "mpk": Recorder(),
    "mpk.zst": Recorder("mpk", "zst"),
    "mpk.gz": Recorder("mpk", "gz"),
    "json": Recorder("json"),
    "base64.json": Recorder("json", payload="base64"),
    "json.gz": Recorder("json", "gz"),
    "json.zst": Recorder("json", "zst"),
    "safetensors": Recorder("safetensors"),
    "bpk": Recorder("bpk"),
}
"""By the suffix of their files. A new format has its row here."""

OWN_RECORDERS = {suffix: r for suffix, r in RECORDERS.items() if suffix != "bpk"}
"""Those whose files say all that a record does; Burn's hold what Burn knows."""

SUFFIXES = ("mpk", "mpk.zst", "json", "safetensors")
"""One file of each way in which payloads lie: mapped, in frames, as text, by offset."""
