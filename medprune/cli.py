"""The shell: ``medprune inspect | train | score | merge | sweep | prune | review | predict |
serve``.

Exit 0 done, 2 bad input (one sentence), 1 our fault, 130 stopped by the user. With ``--json`` standard
output carries one JSON object and nothing else; progress and notes go to standard error.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

from medprune.environment import check_environment
from medprune.errors import BadInput

DONE, OUR_FAULT, BAD_INPUT, STOPPED = 0, 1, 2, 130
LARGE = "so are folders and large ones read anyway (about 1 GB of memory; a sweep 120 bytes a row more)"
PACKAGE = Path(__file__).resolve().parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code."""
    try:
        check_environment()
        options = parser().parse_args(arguments)
        _verb("check_common")(options)
        result, sentence = options.verb(options)
        if options.json:
            from medprune.tables import jsonable

            _put(json.dumps(jsonable(result), ensure_ascii=False), json.dumps(jsonable(result)))
        elif not options.quiet:
            _put(sentence, sentence.encode("ascii", "replace").decode())
        sys.stdout.flush()
    except BadInput as error:
        print(f"medprune: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("medprune: stopped before it was done; no file was changed.", file=sys.stderr)
        return STOPPED
    except BrokenPipeError:  # whoever read our output needed no more of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:  # the text may hold a patient's value: only its kind and place are shown
        print(f"medprune: this is our fault: {_where(error)}; please report it.", file=sys.stderr)
        return OUR_FAULT
    return DONE


def _put(text: str, plain: str) -> None:
    """Print, in ASCII where the terminal knows no more."""
    try:
        print(text)
    except UnicodeEncodeError:
        print(plain)


def _where(error: BaseException) -> str:
    """The kind of an error, and the last line of ours that it went through."""
    place, trace = "", error.__traceback__
    while trace is not None:
        file = Path(trace.tb_frame.f_code.co_filename)
        if file.is_relative_to(PACKAGE):
            place = f" in {file.name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"{type(error).__name__}{place}"


# --- options ---------------------------------------------------------------------------------------


class Parser(argparse.ArgumentParser):
    """Tells a wrong command line as it tells any bad input: in one sentence, exit 2."""

    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message}; `{self.prog} --help` tells what there is.")


def parser() -> Parser:
    """The verbs and their options."""
    top = Parser(
        prog="medprune",
        description="Prune neural networks trained on patient tables, and see what it costs.",
        epilog="`medprune VERB --help` tells its options. Exit code 0 is done, 2 bad input, 1 our fault.",
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"medprune {version('medprune')}")
    subparsers = top.add_subparsers(dest="name", required=True, metavar="VERB")
    for name, (verb, options, about) in VERBS.items():
        sub = subparsers.add_parser(name, help=about, description=about, allow_abbrev=False)
        sub.set_defaults(verb=verb)
        options(sub)
        sub.add_argument("--json", action="store_true", help="one JSON object on standard output")
        sub.add_argument("--seed", type=int, default=0, help="of the split, the training and the pruning (0)")
        sub.add_argument("--quiet", action="store_true", help="no progress, no notes, no sentence")
    return top


def _table(sub: Parser, *, outcome: bool = True, external: bool = False, batches: bool = False) -> None:
    more = ", or a folder of Parquet files" if batches else ""
    sub.add_argument(
        "data", metavar="DATA", help=f"a CSV, TSV, Parquet or .xlsx file{more}, one row a patient or visit"
    )
    needed = "the column to predict" if outcome else "not needed, as is all that follows up to --horizon"
    sub.add_argument("--outcome", required=outcome, metavar="COL", help=needed)
    sub.add_argument("--patient", metavar="COL", help="who a row belongs to, when patients have several rows")
    sub.add_argument(
        "--positive", metavar="LABEL", help="the label to predict, or a cut-point such as '>0' (the model's)"
    )
    sub.add_argument(
        "--exclude", metavar="COL", nargs="+", action="extend", default=[], help="columns to leave out"
    )
    if outcome:
        sub.add_argument(
            "--treat",
            metavar="ID",
            action="append",
            default=[],
            help="a treatment that `inspect` lists, such as sentinel-missing:chol:0, or: suggested",
        )
        sub.add_argument(
            "--ranges", metavar="FILE", help="plausible ranges and units of one's own (CSV, see ranges.csv)"
        )
    sub.add_argument(
        "--act-at", type=float, metavar="P", help="act on a risk of at least P (the model's, or 0.5)"
    )
    sub.add_argument("--sheet", metavar="NAME", help="of a workbook with several sheets, the one to read")
    sub.add_argument("--decimal", metavar="MARK", help="of a text file: . or , (found out if not given)")
    sub.add_argument("--encoding", metavar="NAME", help="of a text file, such as cp1252 (found out)")
    sub.add_argument(
        "--time", metavar="COL", help="follow-up time, where the outcome says event seen, or censored without"
    )
    sub.add_argument(
        "--horizon", type=float, metavar="T", help="predict the event by this time (with --time)"
    )
    if external:
        sub.add_argument(
            "--external", action="store_true", help="other patients than the model was made on: use them all"
        )
    if batches:
        sub.add_argument(
            "--in-batches", action="store_true", help=f"hold few rows of a Parquet file; {LARGE}"
        )


def _model(sub: Parser, *, required: bool, name: str = "--model") -> None:
    about = "a model: safetensors, state_dict, ONNX or skops" + ("" if required else " (train one first)")
    if name == "--dense":
        about = "the model that the bundle was pruned from"
    sub.add_argument(name, required=required, metavar="MODEL", help=about)
    group = sub.add_argument_group("what the file does not say (a plain state_dict says none of it)")
    group.add_argument("--activation", metavar="NAME", help="relu, gelu, silu, tanh, sigmoid or identity")
    group.add_argument(
        "--scaling", metavar="HOW", help="of its inputs: fitted (here), scaled (already), constants=FILE.json"
    )
    group.add_argument("--columns", metavar="A,B,C", help="its input columns in order (all, as they stand)")
    group.add_argument("--classes", metavar="A,B", help="its classes in order (as the outcome has them)")
    group.add_argument(
        "--norm-last", action="store_true", help="normalisations follow the activation, if the file is silent"
    )


def _class_weights(sub: Parser) -> None:
    sub.add_argument(
        "--class-weights",
        default="none",
        choices=("none", "balanced"),
        help="balanced: every class counts the same in training, and the risks are recalibrated on tuning",
    )


def _network(sub: Parser) -> None:
    sub.add_argument("--hidden", default="64,32", metavar="64,32", help="widths of the hidden layers")


def _criterion(sub: Parser) -> None:
    sub.add_argument("--criterion", metavar="NAME", help="what a weight is worth (contribution)")
    sub.add_argument(
        "--criterion-set",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="a setting of the criterion, such as signed=yes of taylor",
    )


def _granularity(sub: Parser) -> None:
    sub.add_argument(
        "--granularity", default="weight", metavar="G", help="weight (the default), neuron or feature"
    )
    sub.add_argument("--scope", metavar="SCOPE", help="global (the default), layer or adaptive")


def _inspect(sub: Parser) -> None:
    _table(sub)
    sub.add_argument("--table-one", action="store_true", help="describe the patients by outcome (Table 1)")


def _train(sub: Parser) -> None:
    _table(sub)
    _network(sub)
    _class_weights(sub)
    sub.add_argument("--out", required=True, metavar="MODEL.safetensors", help="the file to write")


def _score(sub: Parser) -> None:
    _table(sub, external=True, batches=True)
    _model(sub, required=True)
    _criterion(sub)
    sub.add_argument(
        "--split",
        default="train",
        choices=("train", "all"),
        help="whose contributions: train patients, or all rows of any table (train)",
    )
    sub.add_argument("--rates", metavar="FILE", help="what class_contribution smooths by: JSON, or merged")
    sub.add_argument("--balanced", action="store_true", help="give every class the same say, however rare")
    sub.add_argument(
        "--agreement",
        nargs="?",
        const="weight",
        choices=("weight", "neuron", "feature"),
        help="remove a sample one by one, and compare: of weights, neurons or features (weight)",
    )
    sub.add_argument(
        "--out",
        metavar="SCORES",
        help="NAME.csv: a table of every score; any other name, such as NAME.json: sums and counts for merge",
    )
    sub.add_argument(
        "--at-least",
        metavar="N[,M]",
        help="refuse sums over fewer than N patients, or M of a class (20,5)",
    )


def _merge(sub: Parser) -> None:
    sub.add_argument("scores", metavar="SCORES", nargs="+", help="files that score wrote, one a site")
    sub.add_argument(
        "--out", required=True, metavar="SCORES", help="the merged sums, or NAME.csv: a table of every score"
    )


def _sweep(sub: Parser) -> None:
    _table(sub, external=True, batches=True)
    _model(sub, required=True)
    _criterion(sub)
    _granularity(sub)
    sub.add_argument("--scores", metavar="SCORES", help="merged sums to cut by, in place of --criterion")
    sub.add_argument(
        "--thresholds", default="101", metavar="101", help="a count, or thresholds such as 0.01,0.1"
    )


def _prune(sub: Parser) -> None:
    _table(sub, external=True)
    _model(sub, required=False)
    _network(sub)
    _class_weights(sub)
    _criterion(sub)
    _granularity(sub)
    sub.add_argument("--strategy", default="contribution", metavar="NAME", help="how to walk (contribution)")
    sub.add_argument(
        "--set",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="a setting of the strategy; of exhaustive also among=FEATURE,FEATURE (the others stay), "
        "of genetic checkpoint=FILE.json (a search that was stopped goes on from there)",
    )
    sub.add_argument("--prices", metavar="FILE", help="what each feature costs: CSV (feature, price) or JSON")
    sub.add_argument("--price-unit", default="", metavar="UNIT", help="of the prices, such as EUR or minutes")
    how = sub.add_mutually_exclusive_group()
    how.add_argument("--threshold", type=float, metavar="T", help="cut below this, in [0, 1], in every round")
    how.add_argument("--sparsity", type=float, metavar="S", help="walk until this share is removed")
    how.add_argument("--choose", metavar="RULE", help="one-se (the default) or non-inferior")
    sub.add_argument(
        "--margin", type=float, default=0.02, metavar="D", help="of non-inferior, in AUROC (0.02)"
    )
    sub.add_argument(
        "--smallest", default="parameters", metavar="COUNT", help="of --choose: parameters, features or price"
    )
    folds = sub.add_argument_group("choose by cross-validation (on train and tuning; test stays closed)")
    folds.add_argument("--folds", type=int, metavar="K", help="hold patients out in K folds, such as 5")
    folds.add_argument("--repeats", type=int, metavar="R", help="do so R times, with other folds (1)")
    folds.add_argument("--nested", action="store_true", help="report on patients without a say in the choice")
    folds.add_argument("--processes", type=int, metavar="N", help="folds at a time (as many as there are)")
    sub.add_argument(
        "--margins", metavar="FILE", help="limits of the review to come (JSON), set before test is opened"
    )
    sub.add_argument(
        "--no-recalibration",
        action="store_true",
        help="leave risks as pruning and retraining made them (set right on tuning patients otherwise)",
    )
    sub.add_argument("--int8", metavar="WAY", help="add a quantised file: weights, or full (activations too)")
    sub.add_argument("--out", required=True, metavar="BUNDLE", help="the folder to write; its zip comes too")


def _review(sub: Parser) -> None:
    _table(sub, external=True)
    _model(sub, required=True, name="--dense")
    sub.add_argument("--bundle", required=True, metavar="BUNDLE", help="its folder; card and report go there")
    sub.add_argument(
        "--subgroup",
        metavar="COL",
        nargs="+",
        action="extend",
        default=[],
        help="columns to look at group by group, chosen before looking; age:40,65 cuts a number",
    )
    sub.add_argument("--site", metavar="COL", help="repeat it all with each site of this column left out")
    sub.add_argument("--margins", metavar="FILE", help="limits of the gate (JSON); those given to prune hold")
    sub.add_argument(
        "--confirm", metavar="COL", nargs="+", action="extend", default=[], help="inputs it may do without"
    )
    sub.add_argument("--about", metavar="FILE", help="what only you know, for the card (JSON)")
    sub.add_argument(
        "--prevalence", type=float, metavar="P", help="weight to it, when cases and controls were sampled"
    )
    sub.add_argument(
        "--refits", type=int, default=20, metavar="N", help="retrainings, to see what changes anyway (20)"
    )
    who = sub.add_argument_group("take a model whose gate fails all the same; the card says so")
    who.add_argument("--override", metavar="NAME", help="who takes it")
    who.add_argument("--override-reason", metavar="TEXT", help="why")
    who.add_argument("--override-until", metavar="DATE", help="until when, such as 2027-01-31")


def _converter(sub: Parser) -> None:
    sub.epilog = (
        "`medprune converter > convert.py`, then `python convert.py --help` where the model was made."
    )


def _predict(sub: Parser) -> None:
    _table(sub, outcome=False, batches=True)
    sub.add_argument("--bundle", required=True, metavar="BUNDLE", help="a bundle's folder or zip")
    sub.add_argument(
        "--out", required=True, metavar="RISKS.csv", help="the file to write (RISKS.parquet: so)"
    )


def _verb(name: str, home: str = "verbs") -> Callable[..., Any]:
    """A verb that imports what it needs when it is run: help and mistakes need not wait for torch."""

    def run(options: argparse.Namespace) -> Any:
        return getattr(import_module(f"medprune.{home}"), name)(options)

    return run


def _serve_options(sub: Parser) -> None:
    sub.add_argument("--port", type=int, default=8501, help="of the dashboard on this machine (8501)")


def _serve(options: argparse.Namespace) -> NoReturn:
    """Become `streamlit run`, which reads the settings beside app.py: this machine only, nothing sent."""
    app = PACKAGE.parent / "app.py"
    if not app.exists():
        raise BadInput(
            "The dashboard's app.py is not beside the package; run `make run` in a checkout of MedPrune."
        )
    if options.json:
        print(json.dumps({"url": f"http://127.0.0.1:{options.port}"}), flush=True)
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    command = [sys.executable, "-m", "streamlit", "run", str(app), "--server.port", str(options.port)]
    os.execv(sys.executable, command)


VERBS: dict[str, tuple[Callable[..., tuple[Any, str]], Callable[[Parser], None], str]] = {
    "inspect": (_verb("inspect", "intake_verbs"), _inspect, "Who is in a table, and what is wrong with it."),
    "train": (_verb("train"), _train, "Train a network on a table, and test it on its locked patients."),
    "score": (_verb("score"), _score, "What every weight, neuron and feature contributes."),
    "merge": (_verb("merge", "federated_verbs"), _merge, "Add up sums of several sites, then take the mean."),
    "sweep": (
        _verb("sweep"),
        _sweep,
        "What every threshold would do to tuning patients, before retraining.",
    ),
    "prune": (_verb("prune"), _prune, "Walk a path of smaller models, choose one, write its bundle."),
    "review": (
        _verb("review", "review_verbs"),
        _review,
        "What the smaller model of a bundle does to patients; adds card and report.",
    ),
    "converter": (
        _verb("converter", "intake_verbs"),
        _converter,
        "Print a script that turns a model that can run code into a safe one.",
    ),
    "predict": (_verb("predict"), _predict, "Risks for the patients in a table."),
    "serve": (_serve, _serve_options, "Open the dashboard on this machine."),
}


if __name__ == "__main__":
    sys.exit(main())
