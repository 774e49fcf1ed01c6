"""The last step of a scikit-learn Pipeline, an MLPClassifier or a LogisticRegression, as linear layers."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from medprune.errors import BadInput
from medprune.intake.columns import as_label
from medprune.intake.described import Layer

BINARY = 2
ACTIVATIONS = {"identity": "identity", "logistic": "sigmoid", "tanh": "tanh", "relu": "relu"}


def read_net(net: Any, title: str) -> tuple[list[Layer], tuple[str, ...]]:
    """Layers, the last giving logits (one for two classes, of the second), and the classes as text."""
    mine = vars(net)
    if type(net) is MLPClassifier:
        layers = _perceptron(mine, title)
    elif type(net) is LogisticRegression:
        layers = _logistic(mine, title)
    else:
        raise BadInput(
            f"{title} ends in a {type(net).__name__}; only an MLPClassifier or a LogisticRegression, "
            "alone or "
            "at the end of a Pipeline, can be read."
        )
    classes = tuple(as_label(label) for label in np.asarray(mine["classes_"], dtype=object).ravel().tolist())
    outputs = len(layers[-1].weight)
    if len(set(classes)) != len(classes) or len(classes) != max(outputs, BINARY):
        raise ValueError("a logit for every class, and every class once")
    return layers, classes


def _perceptron(mine: Mapping[str, Any], title: str) -> list[Layer]:
    weights = [_array(weight, 2).T for weight in mine["coefs_"]]
    biases = [_array(bias, 1) for bias in mine["intercepts_"]]
    head = mine["out_activation_"]
    if head != ("softmax" if len(weights[-1]) > 1 else "logistic"):
        raise BadInput(
            f"{title} gives every class a risk of its own (multi-label), which cannot be read; MedPrune's "
            "classes exclude each other."
        )
    activation = ACTIVATIONS[mine["activation"]]
    layers = [Layer(w, b, activation) for w, b in zip(weights, biases, strict=True)]
    return _chained([*layers[:-1], Layer(weights[-1], biases[-1])])


def _logistic(mine: Mapping[str, Any], title: str) -> list[Layer]:
    weight, bias = _array(mine["coef_"], 2), _array(np.atleast_1d(mine["intercept_"]), 1)
    if len(weight) > 1 and (mine.get("multi_class") == "ovr" or mine.get("solver") == "liblinear"):
        raise BadInput(
            f"{title} is a LogisticRegression of one class against the rest, whose risks no network "
            "gives; fit "
            "it multinomial (the default), and save it again."
        )
    if len(weight) == 1 and mine.get("multi_class") == "multinomial":
        weight, bias = 2 * weight, 2 * bias  # as older versions counted two classes
    if len(bias) == 1 < len(weight):
        bias = np.repeat(bias, len(weight))  # no intercept was fitted
    return _chained([Layer(weight, bias)])


def _array(values: Any, dims: int) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != dims or not array.size:
        raise ValueError("an array of other dimensions")
    return array


def _chained(layers: list[Layer]) -> list[Layer]:
    for layer in layers:
        if layer.bias.shape != layer.weight.shape[:1]:
            raise ValueError("a bias for every unit")
    for first, second in pairwise(layers):
        if second.weight.shape[1] != len(first.weight):
            raise ValueError("layers that follow each other")
    return layers
