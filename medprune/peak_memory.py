"""The peak memory of a process that does nothing but predict: run as a file, in a process of its own.

Reads an .npz from standard input: ``model``, the bytes of an ONNX model; ``names``, its inputs; and
``input_0``, ``input_1`` ... in that order. Prints two numbers in bytes: the peak with onnxruntime merely
loaded, and the peak after one prediction. Both are the kernel's (``VmHWM``), which sees native memory;
``ru_maxrss`` would not do, as on Linux a child starts with the peak of the process it came from.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import onnxruntime

STATUS = Path("/proc/self/status")


def peak() -> int:
    """The largest resident memory of this process so far, in bytes."""
    [line] = [line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def main() -> None:
    with np.load(io.BytesIO(sys.stdin.buffer.read())) as given:
        model = given["model"].tobytes()
        values = [given[f"input_{place}"] for place in range(len(given["names"]))]
        feed = dict(zip(given["names"].tolist(), values, strict=True))
    feed = {name: v.astype(object) if v.dtype.kind == "U" else v for name, v in feed.items()}
    before = peak()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"]).run(None, feed)
    sys.stdout.write(f"{before} {peak()}\n")


if __name__ == "__main__":
    main()
