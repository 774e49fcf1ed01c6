"""Every bad, odd or harmful model file that we can think of, and what its user must get."""

from __future__ import annotations

from functools import partial

import torch

from medprune.model_file import model_bytes
from tests.hostile import model_archives as archives
from tests.hostile import onnx_files as onnx
from tests.hostile import skops_files as skops
from tests.hostile.case import Case
from tests.makers import patient_cohort, untrained_model

REFUSED, ACCEPTED = "refused", "accepted"
CODE = "can run code"


def ours() -> bytes:
    return model_bytes(untrained_model(patient_cohort(60)))


def model(name: str, file_name: str, make: object, says: str, outcome: str = REFUSED) -> Case:
    return Case(name, file_name, make, outcome, says, kind="model")  # type: ignore[arg-type]


def renamed(name: str, make: object, says: str, *endings: str) -> list[Case]:
    """The same bytes under other names: content decides."""
    return [model(f"{name}, named {ending}", f"m.{ending}", make, says) for ending in endings]


SAFETENSORS = [
    model("cut by five bytes", "m.safetensors", lambda: archives.safe()[:-5], "incomplete: 5 of "),
    model("header of 2^60", "m.safetensors", partial(archives.framed, {}, length=2**60), "no valid safetens"),
    model("header of 2^64 - 1", "m.safetensors", partial(archives.framed, {}, length=2**64 - 1), "no valid"),
    model(
        "150 MB of blanks", "m.safetensors", lambda: archives.framed(b" " * 150_000_000), "header would have"
    ),
    model("overlap", "m.safetensors", archives.overlapping, "layout is inconsistent at 'b'"),
    model("hole", "m.safetensors", archives.with_hole, "layout is inconsistent at 'b'"),
    model("trailing bytes", "m.safetensors", lambda: archives.safe() + b"xyz", "3 bytes follow"),
    model("one name twice", "m.safetensors", archives.doubled, "names 'a' twice"),
    model("200,000 tensors", "m.safetensors", archives.many_empty, "more than 10,000 tensors"),
    model(
        "an empty dimension",
        "m.safetensors",
        lambda: archives.framed({"0.weight": archives.entry([0, 2**40], 0, 0)}),
        "'0.weight' has an empty dimension",
    ),
    model(
        "not finite", "m.safetensors",
        lambda: archives.safe(**{"0.weight": torch.full((6, 4), torch.nan)}),
        "'0.weight' holds 24 weights that are not finite",
    ),
    model(
        "a layer of zeros", "m.safetensors", lambda: archives.safe(**{"2.weight": torch.zeros(2, 6)}),
        "'2.weight' is nothing but zeros", ACCEPTED,
    ),
    model(
        "layers that do not follow", "m.safetensors",
        lambda: archives.safe(**{"2.weight": torch.ones(2, 7)}), "layer 2 expects 7 inputs and gets 6",
    ),
    model(
        "an unknown tensor", "m.safetensors", lambda: archives.safe(surprise=torch.ones(3)), "'the model'",
    ),
    model("int8", "m.safetensors", lambda: archives.safe(**{"0.weight": torch.ones(6, 4).char()}), "dense"),
    model("float64", "m.safetensors", lambda: archives.safe(**{"0.weight": torch.ones(6, 4).double()}),
          "converted from float64", ACCEPTED),
    model("bfloat16", "m.safetensors", lambda: archives.safe(**{"0.weight": torch.ones(6, 4).bfloat16()}),
          "converted from bfloat16", ACCEPTED),
    model("40 GB by its header", "m.safetensors", archives.wide, r"needs 37\.3 GB .* at most 2 GB"),
    model("our own", "m.safetensors", ours, "", ACCEPTED),
    model("our own, lacking a tensor", "m.safetensors",
          lambda: ours().replace(b'"layers.0.bias"', b'"layers.9.bias"'), r"missing: 'layers\.0\.bias'"),
]  # fmt: skip

PICKLES = [
    model("code in a PyTorch archive", "m.pt", lambda: archives.torch_file(archives.Running()), CODE),
    model("code in an old PyTorch file", "m.pt",
          lambda: archives.torch_file(archives.Running(), zipped=False), f"old kind.*{CODE}"),
    *renamed("a pickle with code", lambda: archives.pickled(archives.Running()), f"a pickle.*{CODE}",
             "pkl", "safetensors", "skops", "onnx", "pt", "csv"),
    *(model(f"a pickle of protocol {p}", "m.pkl", partial(archives.pickled, archives.Running(), p), "")
      for p in range(6)),
    model("a joblib file with code", "m.joblib", skops.joblib_running, f"joblib.*{CODE}.*skops"),
    model("a compressed joblib file with code", "m.joblib", partial(skops.joblib_running, 3), "zlib"),
    *renamed("a joblib model", skops.joblib_file, f"joblib file.*{CODE}.*skops.io.dump", "joblib", "skops"),
    model("torch.export", "m.pt2", archives.torch_export, r"torch\.export program .*converter"),
    model("TorchScript", "m.pt", archives.torchscript, "TorchScript, which is code"),
    model("a whole module", "m.pt", lambda: archives.torch_file(archives.net()), "whole pickled model"),
]  # fmt: skip

STATE_DICTS = [
    model("a state_dict", "m.pt", lambda: archives.torch_file(archives.tensors()), "", ACCEPTED),
    model("10^12 elements of one number", "m.pt", archives.stride_zero, "claims more data than the file has"),
    *(model(f"{kind} weights", "m.pt", partial(archives.special, kind), "dense floating-point")
      for kind in ("sparse", "meta", "quantised", "nested")),
    model("a deflated archive", "m.pt", archives.deflated, "compressed archive"),
    model("a list", "m.pt", lambda: archives.torch_file([torch.ones(2, 2)]), "not hold tensors by name"),
    model("whole numbers as names", "m.pt", lambda: archives.torch_file({0: torch.ones(2, 2)}), "by name"),
    model("80 dictionaries in each other", "m.pt", archives.nested_dict, "nested deeply"),
    model("a key that crashes when hashed", "m.pt", archives.tuple_key, "nested deeply"),
    model("a checkpoint", "m.pt", archives.checkpoint,
          "read from 'state_dict' of the checkpoint; passed over: 'epoch' and 'optimizer'", ACCEPTED),
    model("cut in half", "m.pt", lambda: archives.torch_file(archives.tensors())[:900], "incomplete archive"),
]  # fmt: skip

SKOPS = [
    model("an MLPClassifier of Adam", "m.skops", skops.ordinary, "", ACCEPTED),
    model("an MLPClassifier of SGD", "m.skops", partial(skops.ordinary, "sgd"), "", ACCEPTED),
    model("named otherwise", "m.bin", skops.ordinary, "", ACCEPTED),
    model("a function of the system", "m.skops", skops.with_function, r"'posix\.getcwd', which may be code"),
    model("a function of numpy", "m.skops", skops.asking_for_more, "log1p.* may be code"),
    model("an object of its own kind", "m.skops", skops.with_reducer, "model_archives.Running.* may be code"),
    model("a method under a listed name", "m.skops",
          partial(skops.with_loader, "MethodNode", "sklearn.pipeline", "Pipeline"), "no part of what can"),
    model("an operator", "m.skops",
          partial(skops.with_loader, "OperatorFuncNode", "builtins", "str"), "may be code"),
    model("no loader", "m.skops", partial(skops.with_loader, "NoNode", "builtins", "str"), "may be code"),
    model("an array of 80 TB", "m.skops", skops.claiming, "claims 80,000,000,000,000 bytes and has 8"),
    model("200 MB of zeros, deflated", "m.skops", skops.bomb, "packed more than 100 times smaller"),
    model("an array of objects", "m.skops", skops.objects, "neither numbers nor plain text"),
    model("of a newer scikit-learn", "m.skops", partial(skops.from_version, "99.0"),
          r"written by scikit-learn 99\.0 and read by", ACCEPTED),
    model("a part that points out", "m.skops", skops.points_out, "point out of it"),
    model("a description that is no JSON", "m.skops",
          lambda: archives.archive_of({"schema.json": b"{"}), "damaged skops file"),
    model("a description nested deeply", "m.skops",
          lambda: archives.archive_of({"schema.json": b'{"a":' * 900 + b"1" + b"}" * 900}), "nested deeper"),
    model("a description nested very deeply", "m.skops",
          lambda: archives.archive_of({"schema.json": b"[" * 200_000}), "damaged skops file"),
    model("cut in half", "m.skops", lambda: skops.ordinary()[:3000], "incomplete archive"),
]  # fmt: skip

ONNX = [
    *(model(f"weights in {place}", "m.onnx", partial(onnx.with_external, place), "external data")
      for place in ("../decoy.bin", "/etc/hostname", "decoy.bin", "link.bin")),
    model("weights elsewhere, hidden in a subgraph", "m.onnx", onnx.hidden_external, "external data"),
    model("a domain of its own", "m.onnx", partial(onnx.with_node, "Run", "com.custom"), "custom.Run"),
    *(model(op, "m.onnx", partial(onnx.with_node, op), f"operator '{op}'") for op in ("Loop", "If", "Scan")),
    model("4 TB out of a shape", "m.onnx", onnx.huge_constant, "operator 'ConstantOfShape'"),
    model("10^12 out of two constants", "m.onnx", onnx.outer_product, "."),
    model("a shape that lies", "m.onnx", onnx.lying_shape, "size mismatch"),
    model("nothing", "m.onnx", lambda: b"", "is empty"),
    model("random bytes", "m.onnx", lambda: bytes(range(7, 256)) * 9, "nor an ONNX model|ONNX"),
    model("cut in half", "m.onnx", lambda: onnx.mlp()[:200], "damaged or incomplete ONNX model"),
    model("a perceptron", "m.onnx", onnx.mlp, "", ACCEPTED),
    model("a perceptron named otherwise", "m.safetensors", onnx.mlp, "", ACCEPTED),
    model("a perceptron without softmax", "m.onnx", partial(onnx.mlp, ""), "taken as logits", ACCEPTED),
]  # fmt: skip

OTHERS = [
    model("gzip", "m.pt.gz", lambda: b"\x1f\x8b\x08" + bytes(40), "compressed .gzip"),
    model("bzip2", "m.bz2", lambda: b"BZh91AY" + bytes(40), "compressed .bzip2"),
    model("xz", "m.xz", lambda: b"\xfd7zXZ\0" + bytes(40), "compressed .xz"),
    model("HDF5", "m.h5", lambda: b"\x89HDF\r\n\x1a\n" + bytes(40), "HDF5 file, as Keras"),
    model("Keras", "m.keras",
          lambda: archives.archive_of({"config.json": b"{}", "model.weights.h5": b""}), "Keras model"),
    model("npz", "m.npz", lambda: archives.archive_of({"a.npy": skops.npy((1,), "|O", b"\x80")}), "npz"),
    model("npy", "m.npy", lambda: skops.npy((1,), "|O", b"\x80"), "NumPy array"),
    model("a table", "m.csv", lambda: b"age,stage\n1,CANARY-7f3a\n", "neither"),
    model("a web page", "m.safetensors", lambda: b"<!doctype html><p>Log in</p>", "text .HTML"),
    model("a workbook", "m.xlsx", lambda: archives.archive_of({"[Content_Types].xml": b""}), "Office"),
    model("tar", "m.tar", lambda: bytes(257) + b"ustar" + bytes(200), "tar archive"),
    model("an archive of something", "m.zip", lambda: archives.archive_of({"a.txt": b""}), "holds no model"),
]  # fmt: skip

CASES = [*SAFETENSORS, *PICKLES, *STATE_DICTS, *SKOPS, *ONNX, *OTHERS]
