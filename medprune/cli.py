"""The shell: ``medprune inspect | train | score | sweep | prune | predict | serve``.

Exit 0 done, 2 bad input (one sentence), 1 our fault. With ``--json`` standard output carries one
JSON object and nothing else; progress goes to standard error.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from medprune.errors import BadInput

T = TypeVar("T")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code."""
    options = parser().parse_args(arguments)
    try:
        result, sentence = options.verb(options)
    except BadInput as error:
        print(f"medprune: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("medprune: stopped; nothing was changed.", file=sys.stderr)
        return 1
    except Exception as error:  # the text may hold a patient's value: only its kind and place are shown
        print(f"medprune: this is our fault: {_where(error)}; please report it.", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(_plain(result), ensure_ascii=False))
    elif not options.quiet:
        print(sentence)
    return 0


def _where(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = "" if trace is None else f" in {Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
    return f"{type(error).__name__}{place}"


def _plain(value: Any) -> Any:
    """JSON has no NaN: what could not be computed is null."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


# --- options ---------------------------------------------------------------------------------------


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="medprune", description="Prune neural networks trained on patient tables, and see what it costs."
    )
    verbs = top.add_subparsers(dest="name", required=True, metavar="VERB")
    for name, (verb, options, about) in VERBS.items():
        sub = verbs.add_parser(name, help=about, description=about)
        sub.set_defaults(verb=verb)
        sub.add_argument("--json", action="store_true", help="one JSON object on standard output")
        sub.add_argument("--seed", type=int, default=0, help="of the split, the training and the pruning (0)")
        sub.add_argument("--quiet", action="store_true", help="no progress, no sentence")
        options(sub)
    return top


def _table(sub: argparse.ArgumentParser, *, model: bool = False) -> None:
    sub.add_argument("data", metavar="DATA", help="a CSV, TSV or Parquet file, one row a patient or visit")
    sub.add_argument("--outcome", required=True, metavar="COL", help="the column to predict")
    sub.add_argument("--patient", metavar="COL", help="who a row belongs to, when patients have several rows")
    sub.add_argument("--positive", metavar="LABEL", help="the label to predict, or a cut-point such as '>0'")
    sub.add_argument(
        "--exclude", metavar="COL", nargs="+", action="extend", default=[], help="columns to leave out"
    )
    sub.add_argument("--act-at", type=float, metavar="P", help="act on a risk of at least P (0.5)")
    sub.add_argument("--time", metavar="COL", help="follow-up time of a censored outcome")
    sub.add_argument("--horizon", type=float, metavar="T", help="the horizon of a censored outcome")
    if model:
        sub.add_argument("--external", action="store_true", help="other patients than the model was made on")


def _model(sub: argparse.ArgumentParser, *, required: bool) -> None:
    sub.add_argument(
        "--model", required=required, metavar="MODEL", help="safetensors, or a PyTorch state_dict"
    )
    group = sub.add_argument_group("a plain state_dict needs these too")
    group.add_argument("--activation", metavar="NAME", help="relu, gelu, silu, tanh or identity")
    group.add_argument(
        "--columns", metavar="A,B,C", help="the network's input columns in order (all, as they stand)"
    )
    group.add_argument("--classes", metavar="A,B", help="the network's classes in order")
    group.add_argument(
        "--scaling", metavar="HOW", help="fitted (here), scaled (already), or constants=FILE.json"
    )


def _criterion(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--criterion", default="contribution", metavar="NAME", help="what a weight is worth")


def _inspect_options(sub: argparse.ArgumentParser) -> None:
    _table(sub)


def _train_options(sub: argparse.ArgumentParser) -> None:
    _table(sub)
    _network_options(sub)
    sub.add_argument("--out", required=True, metavar="MODEL.safetensors")


def _network_options(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--hidden", default="64,32", metavar="64,32", help="widths of the hidden layers")


def _score_options(sub: argparse.ArgumentParser) -> None:
    _table(sub, model=True)
    _model(sub, required=True)
    _criterion(sub)
    sub.add_argument("--split", default="train", choices=("train", "all"))
    sub.add_argument("--out", metavar="SCORES.csv", help="every score, one row a weight, neuron and feature")


def _sweep_options(sub: argparse.ArgumentParser) -> None:
    _table(sub, model=True)
    _model(sub, required=True)
    _criterion(sub)
    _granularity(sub)
    sub.add_argument(
        "--thresholds", default="101", metavar="101", help="a count, or thresholds such as 0.01,0.1"
    )


def _granularity(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--granularity", default="weight", metavar="G", help="weight, neuron or feature")
    sub.add_argument("--scope", default="layer", metavar="SCOPE", help="layer, global or adaptive")


def _prune_options(sub: argparse.ArgumentParser) -> None:
    _table(sub, model=True)
    _model(sub, required=False)
    _network_options(sub)
    _criterion(sub)
    _granularity(sub)
    sub.add_argument("--strategy", default="contribution", metavar="NAME")
    how = sub.add_mutually_exclusive_group()
    how.add_argument("--threshold", type=float, metavar="T", help="cut below this in every round")
    how.add_argument("--sparsity", type=float, metavar="S", help="walk until this share is removed")
    how.add_argument("--choose", metavar="RULE", help="one-se (the default) or non-inferior")
    sub.add_argument(
        "--margin", type=float, default=0.02, metavar="D", help="of non-inferior, in AUROC (0.02)"
    )
    sub.add_argument("--out", required=True, metavar="BUNDLE")


def _predict_options(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("data", metavar="DATA")
    sub.add_argument("--bundle", required=True, metavar="BUNDLE", help="a bundle's folder or zip")
    sub.add_argument("--out", required=True, metavar="RISKS.csv")


def _serve_options(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--port", type=int, default=8501)


# --- verbs -----------------------------------------------------------------------------------------
# Each returns its JSON object and its sentence. Engine imports stay inside: `--help` answers at once.


def _cohort(options: argparse.Namespace, **more: Any) -> Any:
    from medprune.cohort import load_cohort

    common = {"patient": options.patient, "positive": options.positive, "seed": options.seed}
    return load_cohort(
        options.data,
        outcome=options.outcome,
        exclude=tuple(options.exclude),
        time=options.time,
        horizon=options.horizon,
        **(common | more),
    )


def _cohort_and_model(options: argparse.Namespace) -> tuple[Any, Any]:
    """The model and its cohort, with the split that the model was made on."""
    from medprune.intake.adopt import adopt_model
    from medprune.intake.tensor_file import read_tensors
    from medprune.model_file import KEY, check_fits, model_from

    file = read_tensors(options.model)
    if KEY not in file.metadata:
        cohort = _cohort(options)
        return cohort, _acting(adopt_model(file, cohort, _adoption(options, file.title)), options)
    model = model_from(file)
    more: dict[str, Any] = {"external": options.external, "classes": model.classes}
    more["split"] = model.origin.split
    if options.positive is None:
        more["positive"] = model.positive
    cohort = _cohort(options, **more)
    check_fits(model, cohort)
    return cohort, _acting(model, options)


def _acting(model: Any, options: argparse.Namespace) -> Any:
    from medprune.performance import check_share

    if options.act_at is None:
        return model
    return replace(model, act_at=check_share(options.act_at, "The risk to act at"))


def _adoption(options: argparse.Namespace, title: str) -> Any:
    from medprune.intake.adopt import Adoption, read_constants

    if options.activation is None or options.scaling is None:
        raise BadInput(
            f"{title} is a plain state_dict and does not say how it was built; add --activation (such as "
            "relu) and --scaling (fitted, scaled, or constants=FILE.json), and --columns when the table's "
            "order differs."
        )
    scaling, _, constants = options.scaling.partition("=")
    return Adoption(
        activation=options.activation,
        scaling=scaling,
        columns=_names(options.columns),
        classes=_names(options.classes),
        constants=read_constants(constants) if constants else None,
    )


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",")) if text else ()


def _hidden(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise BadInput(f"Hidden widths are whole numbers such as 64,32, got {text!r}.") from None


def _inspect(options: argparse.Namespace) -> tuple[Any, str]:
    cohort = _cohort(options)
    report = cohort.quality
    lines = [
        f"{report.rows} rows, {report.columns} columns; outcome {cohort.outcome}: "
        f"{', '.join(cohort.classes)}."
    ]
    lines += [f"- {note}" for note in cohort.notes]
    lines += [f"- {problem.message}" for problem in report.problems]
    return report.to_json(), "\n".join(lines)


def _trained(options: argparse.Namespace, cohort: Any) -> Any:
    from medprune.network import MLP
    from medprune.training import train_steps

    steps = train_steps(cohort, MLP(hidden=_hidden(options.hidden)), seed=options.seed)
    *_, last = _bar(steps, "training", options, of=lambda step: step.epoch.of)
    return _acting(last.model, options)


def _train(options: argparse.Namespace) -> tuple[Any, str]:
    from medprune.flow import measure, with_test_opened
    from medprune.model_file import save_model

    cohort = _cohort(options)
    model = with_test_opened(_trained(options, cohort))
    measured = measure(model, cohort.test)
    path = save_model(model, options.out)
    auroc, parameters = measured.performance.auroc, measured.size.parameters
    return (
        {"auroc": auroc, "parameters": parameters, "model": str(path)},
        f"Trained on {len(cohort.train)} patients: AUROC {auroc:.3f} on {len(cohort.test)} test patients, "
        f"{parameters:,} parameters, written to {path}.",
    )


def _score(options: argparse.Namespace) -> tuple[Any, str]:
    from medprune.scoring import score

    cohort, model = _cohort_and_model(options)
    split = cohort.all() if options.split == "all" or options.external else cohort.train
    settings = {"seed": options.seed} if options.criterion == "random" else {}
    scored = score(model, split, options.criterion, **settings)
    if options.out:
        write_scores(scored, options.out)
    top = scored.features.sort_values("score", ascending=False)
    features = [{"name": n, "score": float(s)} for n, s in zip(top["name"], top["score"], strict=True)]
    layers = scored.weights.groupby("layer", sort=False)["score"]
    return (
        {
            "criterion": options.criterion,
            "split": split.name,
            "patients": scored.patients,
            "weights": [
                {"layer": name, "count": len(s), "mean": float(s.mean()), "largest": float(s.max())}
                for name, s in layers
            ],
            "features": features,
            "out": options.out,
        },
        f"{options.criterion} over {scored.patients} patients; the features that contribute most: "
        + ", ".join(f"{f['name']} ({f['score']:.3g})" for f in features[:5])
        + ".",
    )


def write_scores(scored: Any, path: str) -> None:
    """All scores as one CSV: granularity, layer, row, column, name, score, and the score of each class."""
    import pandas as pd

    from medprune.tables import csv_bytes

    tables = []
    for granularity in ("weight", "neuron", "feature"):
        table = scored.table(granularity, by_class=True)
        table.insert(0, "granularity", granularity)
        tables.append(table.astype({"row": "Int64", "column": "Int64"}))
    _write(path, csv_bytes(pd.concat([t for t in tables if len(t)], ignore_index=True)))


def _write(path: str, data: bytes) -> None:
    target = Path(path)
    part = target.with_name(f".{target.name}.part")
    try:
        part.write_bytes(data)
        part.replace(target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise BadInput(f"{path!r} could not be written ({error.strerror}); choose another place.") from error


def _sweep(options: argparse.Namespace) -> tuple[Any, str]:
    from medprune.scoring import score
    from medprune.sweep import sweep

    cohort, model = _cohort_and_model(options)
    train, tuning = (cohort.test, cohort.test) if options.external else (cohort.train, cohort.tuning)
    settings = {"seed": options.seed} if options.criterion == "random" else {}
    scored = score(model, train, options.criterion, **settings)
    result = sweep(
        model,
        tuning,
        scored,
        _thresholds(options.thresholds),
        granularity=options.granularity,
        scope=options.scope,
        train=train,
    )
    best = result.table["auroc"].max()
    kept = result.table[result.table["auroc"] >= best - 0.01].iloc[-1]
    return (
        result.to_json(),
        f"One shot, before retraining, on {result.split} patients: threshold {kept['threshold']:.2f} removes "
        f"{kept['sparsity']:.0%} at AUROC {kept['auroc']:.3f} (best of the sweep {best:.3f}).",
    )


def _thresholds(text: str) -> int | list[float]:
    try:
        return int(text) if text.isdigit() else [float(part) for part in text.split(",")]
    except ValueError:
        raise BadInput(
            f"Thresholds are a count such as 101 or numbers such as 0.01,0.1, got {text!r}."
        ) from None


def _prune(options: argparse.Namespace) -> tuple[Any, str]:
    from medprune.flow import Choice, run

    choice = Choice(options.threshold, options.sparsity, options.choose or "one-se", options.margin)
    choice.settings()  # a bad threshold is told before anything is trained
    if options.model:
        cohort, model = _cohort_and_model(options)
    else:
        cohort = _cohort(options)
        model = _trained(options, cohort)
    job = run(
        model,
        cohort,
        options.out,
        strategy=options.strategy,
        granularity=options.granularity,
        choice=choice,
        seed=options.seed,
        watch=lambda steps: _bar(steps, "pruning", options, of=lambda step: step.of),
        criterion=options.criterion,
        scope=options.scope,
    )
    before, after = job.dense, job.pruned
    return (
        job.to_json(),
        f"Removed {job.chosen.sparsity:.1%} of the {job.path.granularity}s: "
        f"AUROC {after.performance.auroc:.3f} (was {before.performance.auroc:.3f}) "
        f"on {len(cohort.test)} test patients, "
        f"{after.size.parameters:,} of {before.size.parameters:,} parameters, "
        f"{after.size.features} of {before.size.features} features. "
        f"Bundle (not reviewed) in {job.bundle.folder}.",
    )


def _predict(options: argparse.Namespace) -> tuple[Any, str]:
    from medprune.bundle import load_bundle
    from medprune.intake.table_file import read_table
    from medprune.tables import csv_bytes, risk_table

    bundle = load_bundle(options.bundle)
    risks = bundle.predict_proba(read_table(options.data))
    _write(options.out, csv_bytes(risk_table(risks, bundle.model.classes)))
    return {"rows": len(risks), "out": options.out}, f"Risks of {len(risks)} rows written to {options.out}."


def _serve(options: argparse.Namespace) -> tuple[Any, str]:
    from streamlit.web import bootstrap  # noqa: TID251 - the one door from the engine to the dashboard

    app = Path(__file__).resolve().parent.parent / "app.py"
    if not app.exists():
        raise BadInput(
            "The dashboard's app.py is not beside the package; run `make run` in a checkout of MedPrune."
        )
    bootstrap.load_config_options({"server_port": options.port})
    bootstrap.run(str(app), False, [], {"server_port": options.port})
    return {}, "Stopped."


VERBS: dict[str, tuple[Callable[..., tuple[Any, str]], Callable[[argparse.ArgumentParser], None], str]] = {
    "inspect": (_inspect, _inspect_options, "Who is in a table, and what is wrong with it."),
    "train": (_train, _train_options, "Train a network on a table."),
    "score": (_score, _score_options, "What every weight, neuron and feature contributes."),
    "sweep": (_sweep, _sweep_options, "What every threshold would remove, before retraining."),
    "prune": (_prune, _prune_options, "Walk a path of smaller models, choose one, write its bundle."),
    "predict": (_predict, _predict_options, "Risks for the patients in a table."),
    "serve": (_serve, _serve_options, "Open the dashboard on this machine."),
}


def _bar(steps: Iterable[T], what: str, options: argparse.Namespace, of: Callable[[T], int]) -> Iterable[T]:
    """The steps, with a progress bar on standard error."""
    with tqdm(desc=what, disable=options.quiet, leave=False, file=sys.stderr) as bar:
        for step in steps:
            bar.total = of(step)
            bar.update()
            yield step


if __name__ == "__main__":
    sys.exit(main())
