"""Files of `.bpk`, byte by byte."""

import struct

from burnish.records.recorder import Recorder

BPK = Recorder("bpk")


def raw(text: bytes) -> bytes:
    return b"NRUB" + struct.pack("<HI", 1, len(text)) + text + bytes(300)
