"""The scripts that leave in a bundle: templates, filled with what they need to work without MedPrune."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib import resources

from medprune.intake import decimal_marks, missing, table_choices, text_table
from medprune.model import RiskModel
from medprune.network import Network


def _filled(name: str, values: Mapping[str, str]) -> str:
    """A template with every ``@NAME@`` replaced, in one pass: a column may be called ``@NAME@`` too."""
    text = resources.files("medprune").joinpath("templates", name).read_text(encoding="utf-8")
    return re.sub(r"@([A-Z_]+)@", lambda mark: values[mark[1]], text)


def predict_script() -> str:
    """The script reads a CSV by the rules of the intake, whose constants it is given."""
    return _filled(
        "predict.py.txt",
        {
            "NUMBER_MISSING": repr(sorted(missing.NUMBER_MISSING)),
            "TEXT_MISSING": repr(sorted(missing.TEXT_MISSING)),
            "DELIMITERS": repr("".join(table_choices.DELIMITERS)),
            "CERTAIN": repr(decimal_marks.CERTAIN),
            "MARKED": repr(decimal_marks.MARKED),
            "BETWEEN": repr(decimal_marks.BETWEEN),
            "DOUBTFUL": repr(decimal_marks.DOUBTFUL),
            "NUMBER": repr(decimal_marks.NUMBER),
            "UNUSUAL": repr(decimal_marks.UNUSUAL),
            "ENOUGH_NUMBERS": repr(decimal_marks.ENOUGH_NUMBERS),
            "SNIFFED": repr(text_table.SNIFFED),
        },
    )


def torch_script(model: RiskModel) -> str:
    """The script that builds the network in plain PyTorch and loads the bundle's tensors into it."""
    modules, renamed = _sequential(model.network)
    return _filled(
        "load_torch.py.txt",
        {
            "INPUTS": str(model.network.spec.inputs),
            "COLUMNS": repr([column.name for column in model.preparation.columns]),
            "CLASSES": repr(list(model.classes)),
            "RENAMED": json.dumps(renamed, indent=4),
            "MODULES": "\n".join(f"        {module}," for module in modules),
        },
    )


_TORCH_ACTIVATIONS = {
    "relu": "torch.nn.ReLU()",
    "gelu": "torch.nn.GELU()",
    "silu": "torch.nn.SiLU()",
    "tanh": "torch.nn.Tanh()",
    "sigmoid": "torch.nn.Sigmoid()",
    "identity": "torch.nn.Identity()",
}


def _sequential(network: Network) -> tuple[list[str], dict[str, str]]:
    """The network's modules as source lines, and our tensor names as their place in the Sequential."""
    modules: list[str] = []
    renamed: dict[str, str] = {}

    def add(source: str, ours: str | None, tensors: list[str]) -> None:
        renamed.update({f"{ours}.{tensor}": f"{len(modules)}.{tensor}" for tensor in tensors if ours})
        modules.append(source)

    for index, layer in enumerate(network.layers):
        add(
            f"torch.nn.Linear({layer.in_features}, {layer.out_features})",
            f"layers.{index}",
            ["weight", "bias"],
        )
        if index == len(network.tails):
            continue
        tail = network.tails[index]
        activation = _TORCH_ACTIVATIONS[tail.spec.activation]
        kind = {"batch": "BatchNorm1d", "layer": "LayerNorm"}.get(tail.spec.norm)
        norm = f"torch.nn.{kind}({tail.spec.width}, eps={tail.spec.eps})"
        names = list(tail.norm.state_dict()) if tail.norm is not None else []
        steps = [(norm, f"tails.{index}.norm", names)] if kind else []
        place = len(steps) if tail.spec.norm_first else 0
        steps.insert(place, (activation, "", []))
        for source, ours, tensors in steps:
            add(source, ours, tensors)
    return modules, renamed
