"""Writes safetensors files: 8 bytes of header length, a JSON header, the tensors' bytes one after the other."""

import json
import struct

import numpy as np

NAMES = {"float32": "F32", "float64": "F64", "int32": "I32"}


def save(path, tensors, metadata):
    header, data = {"__metadata__": metadata}, b""
    for name in sorted(tensors):
        array = np.asarray(tensors[name], order="C")
        start = len(data)
        data += array.tobytes()
        header[name] = {"dtype": NAMES[str(array.dtype)], "shape": list(array.shape), "data_offsets": [start, len(data)]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)
