"""A cross-validated path beside the same in plain PyTorch, one model at a time, and scikit-learn."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import partial

import numpy as np
import sklearn
import torch
from sklearn.metrics import accuracy_score, average_precision_score, brier_score_loss, f1_score, roc_auc_score
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.nn import functional

from medprune import MLP, Cohort, RiskModel, Schedule, Validation, cross_validate, train
from medprune.cohort import Split
from medprune.folds import folds
from medprune.training import RETRAINING
from tests.bench.race import HEAD, race, simulated
from tests.bench.report import grid

COLUMNS, HIDDEN, DROPOUT, FOLDS, PROCESSES = 30, (64, 32), 0.1, 5, 2
STOPS = (0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.975, 0.99)
GOALS = {400: 3.0, 8_000: 1.0}  # how many times as fast, by patients in the folds
GOES = {400: 5, 8_000: 2}
IN_FOLDS = 0.8  # of a table's patients; the others are test
DENSE = Schedule()

Patients = tuple[Tensor, Tensor]  # columns (N, inputs), classes (N,)


def validation_speed() -> Iterator[str]:
    """The part of the report."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield _conditions()
    for patients, goal in GOALS.items():
        cohort = simulated(round(patients / IN_FOLDS), COLUMNS)
        model = train(cohort, MLP(HIDDEN, dropout=DROPOUT), schedule=Schedule(epochs=1))
        found = race(partial(ours, model, cohort), partial(peer, cohort), GOES[patients])
        yield grid([*HEAD], [found.row(f"{patients:,} patients", goal)]) + "\n"
    yield _agreement()
    torch.set_num_threads(before)


def ours(model: RiskModel, cohort: Cohort, seed: int = 0) -> np.ndarray:
    """The mean AUROC on held-out patients at every stop, dense first."""
    how = Validation(folds=FOLDS, processes=PROCESSES)
    found = cross_validate(model, cohort, how=how, sparsities=STOPS, seed=seed)
    return found.table["mean"].to_numpy()


def peer(cohort: Cohort, seed: int = 0) -> np.ndarray:
    """The same of the peer, one fold after the other."""
    return np.mean(
        [_path(fold, seed + place) for place, fold in enumerate(folds(cohort, FOLDS, seed))], axis=0
    )


def _path(fold: Cohort, seed: int) -> list[float]:
    """AUROC on held-out patients: of the dense network and at every stop."""
    torch.manual_seed(seed)
    scaler = StandardScaler().fit(fold.train.frame)
    learn, stop, held_out = (_patients(scaler, split) for split in (fold.train, fold.tuning, fold.test))
    net = _network()
    masks = [torch.ones_like(linear.weight) for linear in _linears(net)]
    _train(net, masks, learn, stop, DENSE)
    found = [_evaluated(net, held_out)]
    for share in STOPS:
        masks = _cut(net, masks, learn, share)
        _train(net, masks, learn, stop, RETRAINING)
        _evaluated(net, stop)
        found.append(_evaluated(net, held_out))
    return found


def _patients(scaler: StandardScaler, split: Split) -> Patients:
    return torch.from_numpy(scaler.transform(split.frame).astype(np.float32)), torch.from_numpy(split.outcome)


def _network() -> nn.Sequential:
    modules: list[nn.Module] = []
    for inputs, outputs in zip((COLUMNS, *HIDDEN), HIDDEN, strict=False):
        modules += [nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout(DROPOUT)]
    return nn.Sequential(*modules, nn.Linear(HIDDEN[-1], 2))


def _linears(net: nn.Sequential) -> list[nn.Linear]:
    return [module for module in net if isinstance(module, nn.Linear)]


def _train(net: nn.Sequential, masks: list[Tensor], learn: Patients, stop: Patients, how: Schedule) -> None:
    """As ours: weights shrunk first, early stopping, the best put back, removed ones held at zero."""
    with torch.no_grad():
        for linear in _linears(net):
            linear.weight.mul_(how.shrink)
            linear.bias.mul_(how.shrink)
    _hold(net, masks)
    optimizer = torch.optim.AdamW(
        net.parameters(), how.learning_rate, weight_decay=how.weight_decay, fused=True
    )
    (x, y), lowest, since, best = learn, _loss(net, stop), 0, copy.deepcopy(net.state_dict())
    for _ in range(how.epochs):
        net.train()
        for batch in torch.tensor_split(torch.randperm(len(x)), len(x) // how.batch_size):
            optimizer.zero_grad()
            functional.cross_entropy(net(x[batch]), y[batch]).backward()
            optimizer.step()
            _hold(net, masks)
        loss = _loss(net, stop)
        since = 0 if loss < lowest else since + 1
        if loss < lowest:
            lowest, best = loss, copy.deepcopy(net.state_dict())
        if since >= how.patience:
            break
    net.load_state_dict(best)


@torch.no_grad()
def _hold(net: nn.Sequential, masks: list[Tensor]) -> None:
    for linear, mask in zip(_linears(net), masks, strict=True):
        linear.weight.mul_(mask)


@torch.no_grad()
def _loss(net: nn.Sequential, patients: Patients) -> float:
    net.eval()
    return float(functional.cross_entropy(net(patients[0]), patients[1]))


def _cut(net: nn.Sequential, masks: list[Tensor], learn: Patients, share: float) -> list[Tensor]:
    """Without the share of the weights that contributes least, over all layers."""
    scores = [score * mask for score, mask in zip(_scores(net.eval(), learn), masks, strict=True)]
    flat = torch.cat([score.flatten() for score in scores])
    threshold = flat.kthvalue(max(1, round(share * len(flat)))).values
    return [(score > threshold).float() for score in scores]


def _scores(net: nn.Sequential, learn: Patients) -> list[Tensor]:
    """E |w dp/dw| a weight (out, in), by the outer product of slopes and activations."""
    h, heard, sums = learn[0], [], []
    for module in net:
        if isinstance(module, nn.Linear):
            heard.append(h)
            h = module(h)
            sums.append(h)
        else:
            h = module(h)
    own = torch.softmax(h, dim=1).gather(1, learn[1][:, None]).sum()
    slopes = torch.autograd.grad(own, sums)
    return [
        (slope.abs().T @ x.abs()).detach() * linear.weight.detach().abs()
        for slope, x, linear in zip(slopes, heard, _linears(net), strict=True)
    ]


@torch.no_grad()
def _evaluated(net: nn.Sequential, patients: Patients) -> float:
    """AUROC, after the other metrics that a study would report."""
    x, y = patients
    risk, truth = torch.softmax(net.eval()(x), dim=1)[:, 1].numpy(), y.numpy()
    for metric in (average_precision_score, brier_score_loss):
        metric(truth, risk)
    for metric in (accuracy_score, f1_score):
        metric(truth, risk >= 0.5)
    return float(roc_auc_score(truth, risk))


def _agreement() -> str:
    """Both find the same: the mean over stops of what they reach, one seed."""
    cohort = simulated(round(400 / IN_FOLDS), COLUMNS)
    model = train(cohort, MLP(HIDDEN, dropout=DROPOUT), schedule=Schedule(epochs=1))
    means = [f"{part.mean():.3f}" for part in (ours(model, cohort), peer(cohort))]
    return f"Mean held-out AUROC over all stops, 400 patients: ours {means[0]}, the peer's {means[1]}.\n"


def _conditions() -> str:
    weights = COLUMNS * HIDDEN[0] + HIDDEN[0] * HIDDEN[1] + HIDDEN[1] * 2
    return f"""## A cross-validated path

- {FOLDS} folds, in each a network {COLUMNS}-{HIDDEN[0]}-{HIDDEN[1]}-2 ({weights:,} weights),
  trained and then, at {len(STOPS)} stops, scored, cut and retrained. Ours may take {PROCESSES} processes,
  and does at 8,000 patients; one go that does not count starts them. Goes in turn.
- The peer: torch {torch.__version__} and scikit-learn {sklearn.__version__}, nn.Sequential, fused AdamW, our
  schedules and our formula for the scores, one model at a time, on one thread: waiting for a second
  one costs such small products more than it gives. It takes fewer metrics, no bootstrap, and does not
  count what is cut off from input or outcome, compact or export its models, which ours does.
"""
