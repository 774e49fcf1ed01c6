"""The shell as scripts use it: keys, exit codes, what travels with a model, and what is refused how."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
from torch import nn

from medprune import cli, load_cohort, load_model, save_model
from medprune.criteria import CRITERIA
from medprune.model import RiskModel
from medprune.performance import METRICS
from tests.makers import patient_table, untrained_model

SIZES = {"parameters", "stored", "features", "bytes"}
MEASURED = {"auroc", "accuracy", "f1", "brier"} | SIZES
ROWS = 120


class Shell:
    """Runs one verb and reads what it says."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *words: object) -> tuple[int, str, str]:
        self.capsys.readouterr()
        code = cli.main([str(word) for word in words])
        return code, *self.capsys.readouterr()

    def json(self, *words: object) -> dict[str, Any]:
        """The one JSON object on standard output; with --quiet nothing stands anywhere else."""
        code, out, err = self(*words, "--json", "--quiet")
        assert (code, err) == (0, "")
        assert out.count("\n") == 1
        value = json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
        assert isinstance(value, dict)
        return value

    def refused(self, *words: object) -> str:
        """The one sentence of a bad input."""
        code, out, err = self(*words, "--quiet", "--json")
        assert (code, out) == (2, ""), err
        [sentence] = err.splitlines()
        assert sentence.startswith("medprune: ")
        assert sentence.endswith((".", "?"))
        assert "Traceback" not in sentence
        return sentence


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capsys)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table, a model trained on it, and a bundle; no test changes them."""
    folder = tmp_path_factory.mktemp("shell")
    patient_table(ROWS).to_csv(folder / "patients.csv", index=False)
    assert cli.main(words("train", folder, "--hidden", "8,4", "--out", folder / "m.safetensors")) == 0
    more = ("--model", folder / "m.safetensors", "--sparsity", "0.6", "--out", folder / "bundle")
    assert cli.main(words("prune", folder, *more)) == 0
    return folder


def words(verb: str, folder: Path, *more: object) -> list[str]:
    return [verb, str(folder / "patients.csv"), "--outcome", "stage", "--quiet", *map(str, more)]


def on(place: Path, verb: str, *more: object) -> tuple[object, ...]:
    """A verb on the table and the model."""
    return (verb, place / "patients.csv", "--outcome", "stage", "--model", place / "m.safetensors", *more)


def written(table: pd.DataFrame, path: Path) -> Path:
    table.to_csv(path, index=False)
    return path


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def untouched(place: Path) -> Iterator[None]:
    """Whatever happens, table, model and bundle stay byte for byte what they were."""
    before = snapshot(place)
    yield
    assert snapshot(place) == before


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training would be told as our fault, not as bad input."""

    def trains(*_: object, **__: object) -> None:
        raise AssertionError

    for name in ("medprune.verbs.train_steps", "medprune.training.fit", "medprune.flow.prune_steps"):
        monkeypatch.setattr(name, trains)


# --- the keys that scripts rely on -----------------------------------------------------------------


def test_inspect(shell: Shell, place: Path) -> None:
    found = shell.json("inspect", place / "patients.csv", "--outcome", "stage")
    assert {"rows", "columns", "problems"} < set(found)
    assert (found["rows"], found["columns"]) == (ROWS, 7)
    assert found["problems"]
    [keys] = {tuple(problem) for problem in found["problems"]}
    assert keys[:4] == ("kind", "column", "count", "message")
    assert {"why", "treatments"} < set(keys)
    assert {"missing", "few_rows"} <= {problem["kind"] for problem in found["problems"]}


def test_train(shell: Shell, place: Path, tmp_path: Path) -> None:
    out = tmp_path / "again.safetensors"
    found = shell.json(*words("train", place, "--hidden", "8,4", "--out", out))
    assert set(found) - {"too_good"} == {"auroc", "parameters", "model"}
    assert found["model"] == str(out)
    assert 0.5 < found["auroc"] <= 1
    model = load_model(out)
    assert found["parameters"] == model.network.nonzero()
    assert model.origin.test_openings == 1
    assert model.network.spec.widths[1:] == (8, 4, 2)
    assert out.read_bytes() == (place / "m.safetensors").read_bytes()  # the same seed gives the same model
    assert shell.json(*words("train", place, "--hidden", "8,4", "--seed", 1, "--out", out)) != found


def test_score(shell: Shell, place: Path, tmp_path: Path) -> None:
    found = shell.json(*on(place, "score", "--out", tmp_path / "s.csv"))
    keys = {"criterion", "split", "patients", "rows", "weights", "neurons", "features", "agreement", "out"}
    assert set(found) == keys
    assert found["agreement"] is None
    assert (found["criterion"], found["split"]) == ("contribution", "train")
    assert found["patients"] == ROWS * 0.6
    assert {feature["name"] for feature in found["features"]} == set(patient_table().columns) - {"stage"}
    scores = [feature["score"] for feature in found["features"]]
    assert scores == sorted(scores, reverse=True)
    assert [set(layer) for layer in found["weights"]] == [{"layer", "count", "mean", "largest"}] * 3
    table = pd.read_csv(tmp_path / "s.csv")
    assert list(table.columns[:6]) == ["granularity", "layer", "row", "column", "name", "score"]
    assert list(table.columns[6:]) == ["effective_patients", "score [0]", "score [1]"]
    counts = table["granularity"].value_counts()
    assert counts["weight"] == sum(layer["count"] for layer in found["weights"])
    assert (counts["neuron"], counts["feature"]) == (12, 6)
    np.testing.assert_allclose(
        table["score"].max(), max(layer["largest"] for layer in found["weights"]), rtol=1
    )
    everyone = shell.json(*on(place, "score", "--split", "all"))
    assert (everyone["split"], everyone["patients"], everyone["out"]) == ("all", ROWS, None)


def test_score_balanced_and_held_against_true_removal(shell: Shell, place: Path, tmp_path: Path) -> None:
    plain = shell.json(*on(place, "score", "--agreement"))
    assert set(plain["agreement"]) == {"granularity", "effect", "spearman", "count", "of"}
    assert plain["agreement"]["effect"] == "risk"
    assert plain["agreement"]["spearman"] > 0.9
    assert plain["agreement"]["count"] <= plain["agreement"]["of"]
    balanced = shell.json(*on(place, "score", "--agreement", "--balanced"))
    # Half of these patients are ill, and both means are the same; of the others a third is.
    scores = [[feature["score"] for feature in found["features"]] for found in (plain, balanced)]
    assert scores[0] == pytest.approx(scores[1])
    table = patient_table(ROWS)
    few = table.drop(table.index[table["stage"] == 1][::2])
    rare = ("score", written(few, tmp_path / "few.csv"), "--model", place / "m.safetensors")
    rare = (*rare, "--outcome", "stage", "--external")
    assert shell.json(*rare, "--balanced")["features"] != shell.json(*rare)["features"]
    assert balanced["agreement"]["spearman"] > 0.9
    code, out, _ = shell(*on(place, "score", "--agreement"))
    assert code == 0
    assert "Agreement with true removal: Spearman" in out


@pytest.mark.parametrize("criterion", CRITERIA.names())
def test_score_by_every_criterion(criterion: str, shell: Shell, place: Path) -> None:
    found = shell.json(*on(place, "score", "--criterion", criterion))
    assert found["criterion"] == criterion
    assert max(feature["score"] for feature in found["features"]) > 0
    again = shell.json(*on(place, "score", "--criterion", criterion, "--seed", 5))
    assert (again == found) is (criterion != "random")


def test_score_smoothed_by_given_rates(shell: Shell, place: Path, tmp_path: Path) -> None:
    rates = tmp_path / "rates.json"
    rates.write_text("[[1.0, 0.0], [0.0, 1.0]]")
    by_class = ("--criterion", "class_contribution")
    assert shell.json(*on(place, "score", *by_class, "--rates", rates)) != shell.json(
        *on(place, "score", *by_class)
    )
    assert "takes no --rates" in shell.refused(*on(place, "score", "--rates", rates))
    for text in ("", "[[1, 0]]", "[[1, 2], [0, 1]]", "[1, 2]", '{"a": 1}', '[["x", "y"], [0, 1]]'):
        rates.write_text(text)
        sentence = shell.refused(*on(place, "score", *by_class, "--rates", rates))
        assert "'rates.json' could not be read; give JSON" in sentence
    rates.write_text("[[1]]")
    assert "for 1 classes, the model tells 2" in shell.refused(
        *on(place, "score", *by_class, "--rates", rates)
    )


def test_sweep(shell: Shell, place: Path) -> None:
    found = shell.json(*on(place, "sweep", "--thresholds", 21))
    assert set(found) == {"thresholds", "sparsity", *METRICS, *SIZES, "gap", "confusion", "by_class"}
    assert all(len(values) == 21 for values in found.values())
    assert found["thresholds"] == pytest.approx(np.linspace(0, 1, 21))
    assert found["sparsity"] == sorted(found["sparsity"])
    assert found["parameters"] == sorted(found["parameters"], reverse=True)
    given = shell.json(*on(place, "sweep", "--thresholds", "0.05,0.5", "--granularity", "feature"))
    assert given["thresholds"] == [0.05, 0.5]


@pytest.mark.parametrize(
    "how",
    [("--sparsity", "0.5"), ("--threshold", "0.02"), ("--choose", "non-inferior", "--margin", "0.1")],
    ids=lambda how: how[0],
)
def test_prune(how: tuple[str, ...], shell: Shell, place: Path, tmp_path: Path) -> None:
    found = shell.json(*on(place, "prune", *how, "--granularity", "neuron", "--out", tmp_path / "b"))
    assert set(found) - {"too_good"} == {
        *("dense", "pruned", "threshold", "sparsity", "strategy", "granularity", "path"),
        *("models_trained", "seconds", "bundle", "no_longer_needed", "recalibration", "pruned_raw"),
    }
    assert set(found["dense"]) == set(found["pruned"]) == MEASURED
    assert set(found["sparsity"]) == {"requested", "achieved"}
    assert (found["strategy"], found["granularity"]) == ("contribution", "neuron")
    assert {tuple(sorted(point)) for point in found["path"]} == {
        ("auroc", "features", "parameters", "sparsity")
    }
    assert found["models_trained"] == len(found["path"]) - 1
    assert found["seconds"] > 0
    assert found["bundle"] == str(tmp_path / "b")
    assert found["pruned"]["bytes"] == (tmp_path / "b" / "model.onnx").stat().st_size
    about = json.loads((tmp_path / "b" / "provenance.json").read_text())
    assert about["test"]["pruned"] == found["pruned"]
    assert about["recalibration"] == found["recalibration"]
    assert set(found["recalibration"]) == {"fitted", "slope", "intercepts"}
    assert set(found["pruned_raw"]) == MEASURED
    assert load_model(tmp_path / "b" / "model.safetensors").origin.test_openings == 2


def test_prune_to_a_sparsity(shell: Shell, place: Path, tmp_path: Path) -> None:
    found = shell.json(*words("prune", place, "--hidden", "8", "--sparsity", "0.5", "--out", tmp_path / "b"))
    assert found["sparsity"]["requested"] == 0.5
    assert found["sparsity"]["achieved"] == pytest.approx(0.5, abs=0.02)
    assert found["pruned"]["parameters"] < found["dense"]["parameters"]
    assert found["path"][-1]["sparsity"] == found["sparsity"]["achieved"]


def test_predict(shell: Shell, place: Path, tmp_path: Path) -> None:
    strangers = written(patient_table(30, seed=4).drop(columns="stage"), tmp_path / "strangers.csv")
    for bundle in ("bundle", "bundle.zip"):
        out = tmp_path / "r.csv"
        found = shell.json("predict", strangers, "--bundle", place / bundle, "--out", out)
        assert found == {"rows": 30, "out": str(out)}
        risks = pd.read_csv(out)
        assert list(risks.columns) == ["row", "risk"]
        assert risks["row"].tolist() == list(range(1, 31))
        assert risks["risk"].between(0, 1).all()
    common = ("--outcome", "stage", "--act-at", 0.2, "--exclude", "noise")
    assert shell.json("predict", strangers, "--bundle", place / "bundle", "--out", out, *common)["rows"] == 30


def test_several_classes(shell: Shell, tmp_path: Path) -> None:
    table = written(patient_table(150, 3), tmp_path / "p.csv")
    more = ("--hidden", 6, "--sparsity", 0.3, "--out", tmp_path / "b")
    found = shell.json("prune", table, "--outcome", "stage", *more)
    assert set(found["pruned"]) == MEASURED
    shell.json("predict", table, "--bundle", tmp_path / "b", "--out", tmp_path / "r.csv")
    risks = pd.read_csv(tmp_path / "r.csv")
    assert list(risks.columns) == ["row", "risk_stage 0", "risk_stage 1", "risk_stage 2"]
    np.testing.assert_allclose(risks.iloc[:, 1:].sum(axis=1), 1)


# --- where things are printed ----------------------------------------------------------------------


def test_progress_and_notes_go_to_standard_error(shell: Shell, place: Path, tmp_path: Path) -> None:
    command = ("prune", place / "patients.csv", "--outcome", "stage", "--hidden", 4, "--sparsity", 0.3)
    code, out, err = shell(*command, "--out", tmp_path / "b", "--json")
    assert code == 0
    assert set(json.loads(out)) >= {"dense", "pruned"}
    assert "training" in err
    assert "pruning" in err
    assert "note: Every row counts as one patient" in err


def test_without_json_one_sentence_says_what_was_done(shell: Shell, place: Path, tmp_path: Path) -> None:
    code, out, _ = shell(*on(place, "score"))
    assert code == 0
    assert out.startswith("contribution over 72 train patients; the features that contribute most: ")
    code, out, err = shell(*on(place, "sweep", "--thresholds", 6, "--quiet"))
    assert (code, out, err) == (0, "", "")
    code, out, _ = shell(*on(place, "sweep", "--thresholds", 6))
    assert "before retraining, on 24 tuning patients: threshold" in out
    code, out, _ = shell("inspect", place / "patients.csv", "--outcome", "stage")
    assert out.startswith(f"{ROWS} rows, 7 columns; outcome stage: 0, 1.\n- ")
    code, out, _ = shell(*on(place, "prune", "--sparsity", 0.3, "--out", tmp_path / "b"))
    assert "of the weights: AUROC" in out
    assert "Bundle (not reviewed) in" in out


def test_what_is_left_out_is_said(shell: Shell, tmp_path: Path) -> None:
    table = written(patient_table(ROWS).assign(empty=np.nan, same=1), tmp_path / "p.csv")
    code, _, err = shell(
        "train", table, "--outcome", "stage", "--hidden", 2, "--out", tmp_path / "m.safetensors"
    )
    assert code == 0
    assert "note: 'empty' is left out: every value is missing." in err
    assert "note: 'same' is left out: it has the same value in every row." in err
    problems = shell.json("inspect", table, "--outcome", "stage")["problems"]
    assert {"empty", "same"} <= {problem["column"] for problem in problems}


def test_what_could_not_be_computed_is_null(
    shell: Shell, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = {"auroc": float("nan"), "gap": [np.float32("inf"), 0.5], "rows": np.int64(3), "name": "Größe"}
    verb, options, about = cli.VERBS["inspect"]
    assert verb is not None
    monkeypatch.setitem(cli.VERBS, "inspect", (lambda _: (answer, "Größe"), options, about))
    command = ("inspect", place / "patients.csv", "--outcome", "stage")
    wanted = {"auroc": None, "gap": [None, 0.5], "rows": 3, "name": "Größe"}
    assert shell.json(*command) == wanted
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)
    assert cli.main([*map(str, command), "--json"]) == 0
    assert cli.main([*map(str, command)]) == 0
    first, second = out.buffer.getvalue().decode("ascii").splitlines()  # type: ignore[attr-defined]
    assert json.loads(first) == wanted
    assert second == "Gr??e"


@pytest.mark.parametrize("verb", cli.VERBS)
def test_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        cli.main([verb, "--help"])
    assert done.value.code == 0
    text = capsys.readouterr().out
    for option in ("--json", "--seed", "--quiet"):
        assert option in text
    assert cli.VERBS[verb][2] in text
    reads = verb not in ("serve", "merge", "converter")
    for option in ("DATA", "--patient", "--positive", "--exclude", "--act-at", "--time", "--horizon"):
        assert (option in text) is reads


def test_a_wrong_command_line_is_one_sentence(shell: Shell, place: Path) -> None:
    assert "required: VERB" in shell.refused()
    assert "invalid choice: 'trian'" in shell.refused("trian")
    assert "required: --outcome" in shell.refused("inspect", place / "patients.csv")
    assert "required: DATA" in shell.refused("inspect", "--outcome", "stage")
    assert "not allowed with" in shell.refused(
        *on(place, "prune", "--threshold", 0.1, "--sparsity", 0.5, "--out", 1)
    )
    assert "unrecognized arguments: --thresh 5" in shell.refused(*on(place, "sweep", "--thresh", 5))
    assert "invalid float value: 'low'" in shell.refused(
        *on(place, "prune", "--threshold", "low", "--out", "b")
    )


# --- splits and classes travel with the model ------------------------------------------------------


def test_another_seed_does_not_change_the_split(shell: Shell, place: Path) -> None:
    for verb, more in (("score", ()), ("sweep", ("--thresholds", 6))):
        assert shell.json(*on(place, verb, *more)) == shell.json(*on(place, verb, *more, "--seed", 9))


def test_the_order_of_rows_and_columns_is_not_the_table(shell: Shell, place: Path, tmp_path: Path) -> None:
    turned = patient_table(ROWS).sample(frac=1, random_state=3)
    path = written(turned[reversed(turned.columns)], tmp_path / "turned.csv")
    few = ("--thresholds", 6)
    there = shell.json("sweep", path, "--outcome", "stage", "--model", place / "m.safetensors", *few)
    here = shell.json(*on(place, "sweep", *few))
    assert there["sparsity"] == here["sparsity"]
    assert there["auroc"] == pytest.approx(here["auroc"])


@pytest.mark.usefixtures("untouched")
def test_a_changed_table_is_refused_unless_external(shell: Shell, place: Path, tmp_path: Path) -> None:
    table = patient_table(ROWS)
    table.loc[5, "age"] += 1
    path = written(table, tmp_path / "changed.csv")
    with_model = ("--outcome", "stage", "--model", place / "m.safetensors")
    for verb, more in (("score", ()), ("sweep", ()), ("prune", ("--out", place / "bundle"))):
        sentence = shell.refused(verb, path, *with_model, *more)
        assert "has changed since the model was made" in sentence
        assert "--external" in sentence
    assert shell.json("score", path, *with_model, "--external")["patients"] == ROWS
    found = shell.json("sweep", path, *with_model, "--external", "--thresholds", 5)
    assert all(value is not None for value in found["auroc"])
    sentence = shell.refused("prune", path, *with_model, "--external", "--out", place / "bundle")
    assert "Pruning retrains on train patients, and an external table has none" in sentence
    assert "not external" in shell.refused(*on(place, "score", "--external"))


def test_other_patients_may_lack_what_the_model_need_not_see(
    shell: Shell, place: Path, tmp_path: Path
) -> None:
    """A constant, an all-missing or an unknown column elsewhere does not make a model unusable there."""
    strangers = patient_table(60, seed=2).assign(sex="male", lactate=np.nan, more="x")
    strangers.loc[:4, "ward"] = "never seen"
    path = written(strangers, tmp_path / "strangers.csv")
    found = shell.json(
        "score",
        path,
        "--outcome",
        "stage",
        "--model",
        place / "m.safetensors",
        "--external",
        "--split",
        "all",
    )
    assert found["patients"] == 60
    assert {feature["name"] for feature in found["features"]} >= {"sex", "lactate"}


def test_a_table_without_the_models_columns(shell: Shell, place: Path, tmp_path: Path) -> None:
    path = written(patient_table(ROWS).drop(columns=["age", "sex"]), tmp_path / "less.csv")
    for more in ((), ("--external",)):
        sentence = shell.refused(
            "score", path, "--outcome", "stage", "--model", place / "m.safetensors", *more
        )
        assert "needs 6 columns, the table offers 4 and lacks 2 of them: 'age' and 'sex'" in sentence
    assert "reads 'age', which --exclude would leave out" in shell.refused(
        *on(place, "score", "--exclude", "age")
    )


def test_columns_excluded_in_training_need_not_be_excluded_again(shell: Shell, tmp_path: Path) -> None:
    table = patient_table(ROWS)
    table["mixed"] = [f"note {i}" if i % 3 == 0 else str(i) for i in range(ROWS)]
    path = written(table, tmp_path / "p.csv")
    model = tmp_path / "m.safetensors"
    common = (path, "--outcome", "stage")
    assert "'mixed' is read as numbers" in shell.refused("train", *common, "--out", model)
    shell.json("train", *common, "--exclude", "mixed", "noise", "--hidden", 4, "--out", model)
    assert len(shell.json("score", *common, "--model", model)["features"]) == 5
    shell.json("prune", *common, "--model", model, "--sparsity", 0.3, "--out", tmp_path / "b")
    about = json.loads((tmp_path / "b" / "provenance.json").read_text())
    assert {each["column"] for each in about["excluded_columns"]} == {"mixed", "noise"}


def test_the_positive_class_is_the_models(shell: Shell, tmp_path: Path) -> None:
    table = written(patient_table(ROWS).replace({"stage": {0: "alive", 1: "dead"}}), tmp_path / "p.csv")
    model = tmp_path / "m.safetensors"
    common = (table, "--outcome", "stage")
    shell.json("train", *common, "--positive", "alive", "--hidden", 4, "--out", model)
    assert load_model(model).classes == ("dead", "alive")
    plain = shell.json("score", *common, "--model", model)
    assert plain == shell.json("score", *common, "--model", model, "--positive", "alive")
    sentence = shell.refused("score", *common, "--model", model, "--positive", "dead")
    assert "trained to predict 'alive', not 'dead'" in sentence
    cut = (table, "--outcome", "age")
    shell.json("train", *cut, "--positive", ">=60", "--hidden", 4, "--out", model)
    assert shell.json("sweep", *cut, "--model", model, "--thresholds", 3)["thresholds"] == [0, 0.5, 1]
    assert "which the model does not know" in shell.refused(
        "sweep", *cut, "--model", model, "--positive", ">=50"
    )


def test_the_risk_to_act_at_is_the_models(shell: Shell, place: Path, tmp_path: Path) -> None:
    model = tmp_path / "m.safetensors"
    shell.json(*words("train", place, "--hidden", "8,4", "--act-at", 0.2, "--out", model))
    assert load_model(model).act_at == 0.2
    with_model = ("sweep", place / "patients.csv", "--outcome", "stage", "--thresholds", "0,0.1", "--model")
    found = shell.json(*with_model, model)
    assert (
        found["sensitivity"]
        == shell.json(*with_model, place / "m.safetensors", "--act-at", 0.2)["sensitivity"]
    )
    assert found["sensitivity"][0] > shell.json(*with_model, model, "--act-at", 0.9)["sensitivity"][0]


def test_several_rows_a_patient(shell: Shell, tmp_path: Path) -> None:
    table = patient_table(ROWS).assign(who=np.arange(ROWS) // 2)
    path = written(table, tmp_path / "p.csv")
    model = tmp_path / "m.safetensors"
    common = (path, "--outcome", "stage")
    shell.json("train", *common, "--patient", "who", "--hidden", 4, "--out", model)
    found = shell.json("score", *common, "--model", model)
    assert found == shell.json("score", *common, "--model", model, "--patient", "who")
    assert "who" not in {feature["name"] for feature in found["features"]}
    assert "was made with the patient column 'who'" in shell.refused(
        "score", *common, "--model", model, "--patient", "age"
    )


# --- bad tables ------------------------------------------------------------------------------------


def few(table: pd.DataFrame) -> pd.DataFrame:
    table["stage"] = np.where(table.index < 4, "rare", "usual")
    return table


BAD_TABLES: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame | bytes], str]] = {
    "no such outcome": (lambda t: t.rename(columns={"stage": "stages"}), "did you mean 'stages'?"),
    "one class": (lambda t: t.assign(stage="CANARY"), "has only one class"),
    "no outcome at all": (lambda t: t.assign(stage=np.nan), "'stage' has no values"),
    "few patients in a class": (few, "'rare' has fewer than 5 patients"),
    "one class a row": (lambda t: t.assign(stage=[f"CANARY {i}" for i in t.index]), "one class a row"),
    "many numbers": (lambda t: t.assign(stage=np.arange(ROWS) % 30), "a cut-point, such as --positive"),
    "many classes": (lambda t: t.assign(stage=[f"CANARY {i % 40}" for i in t.index]), "has 40 classes"),
    "empty": (lambda _: b"", "is empty"),
    "blank": (lambda _: b"\n\n  \n", "is empty"),
    "header only": (lambda t: t.iloc[:0], "has column names but no rows"),
    "duplicate names": (lambda t: t.rename(columns={"noise": "age"}), "'age' occurs more than once"),
    "text in a column of numbers": (
        lambda t: t.assign(age=t["age"].astype(object).where(t.index != 7, "CANARY 12 mmHg")),
        "'age' is read as numbers, but 1 cell holds text (data row 8)",
    ),
    "nothing to predict from": (lambda t: t[["stage"]].assign(empty=np.nan), "No column is left"),
    "ragged": (lambda t: t.to_csv(index=False).encode() + b"1,2,CANARY\n", "Line 122"),
    "a workbook": (lambda _: b"PK\x03\x04 CANARY", "incomplete workbook or archive"),
    "a web page": (lambda _: b"<html>CANARY</html>", "web page"),
    "a pickle": (lambda _: b"\x80\x04CANARY", "never opened"),
    "bytes": (lambda _: b"a,b\n\0CANARY,2\n", "bytes that are not text"),
    "a damaged Parquet file": (lambda _: b"PAR1CANARY", "is a Parquet file, although its name ends in .csv"),
}  # fmt: skip


TOLD_AS_PROBLEMS = ("text in a column of numbers",)  # by inspect, with what can be done


@pytest.mark.usefixtures("untouched", "no_training")
@pytest.mark.parametrize("kind", BAD_TABLES)
def test_a_bad_table_is_told_in_one_sentence(kind: str, shell: Shell, place: Path, tmp_path: Path) -> None:
    make, expected = BAD_TABLES[kind]
    made = make(patient_table(ROWS))
    path = tmp_path / "bad.csv"
    path.write_bytes(made if isinstance(made, bytes) else made.to_csv(index=False).encode())
    for verb, more in (
        ("inspect", ()),
        ("train", ("--out", place / "m.safetensors")),
        ("prune", ("--out", place / "bundle")),
    ):
        if verb == "inspect" and kind in TOLD_AS_PROBLEMS:
            found = shell.json(verb, path, "--outcome", "stage")
            assert any(problem["treatments"] for problem in found["problems"])
            assert "CANARY" not in json.dumps(found)
            continue
        sentence = shell.refused(verb, path, "--outcome", "stage", *more)
        assert expected in sentence
        if kind != "one class":  # a class may be named
            assert "CANARY" not in sentence


@pytest.mark.usefixtures("no_training")
def test_other_places_for_a_table(shell: Shell, place: Path, tmp_path: Path) -> None:
    out = ("--outcome", "stage", "--out", tmp_path / "m")
    assert "There is no file" in shell.refused("train", place / "none.csv", *out)
    assert "cannot be read" in shell.refused("train", place, *out)
    assert "not a web address" in shell.refused("train", "https://example.org/p.csv", *out)
    column = (place / "patients.csv", "--outcome", "stage")
    assert "no patient column 'whom'" in shell.refused("inspect", *column, "--patient", "whom")
    assert "no column to exclude 'agee' (did you mean 'age'?)" in shell.refused(
        "inspect", *column, "--exclude", "agee"
    )
    assert "add --horizon T" in shell.refused("inspect", *column, "--time", "age")
    assert "no follow-up time column 'when'" in shell.refused(
        "inspect", *column, "--time", "when", "--horizon", 3
    )
    assert "has no class '7'" in shell.refused("inspect", *column, "--positive", 7)


@pytest.mark.usefixtures("untouched")
def test_predict_tells_a_bad_table(shell: Shell, place: Path, tmp_path: Path) -> None:
    table = patient_table(20)
    out = ("--bundle", place / "bundle", "--out", tmp_path / "r.csv")
    wrong = table.assign(age="CANARY 12", visit="CANARY 13", lactate="CANARY")
    sentence = shell.refused("predict", written(wrong, tmp_path / "p.csv"), *out)
    assert "is read as numbers, but 20 cells hold text (data rows 1, 2, 3 and more)" in sentence
    assert "CANARY" not in sentence
    sentence = shell.refused("predict", written(table[["noise"]], tmp_path / "p.csv"), *out)
    assert "The table lacks" in sentence
    assert "is not a bundle" in shell.refused("predict", tmp_path / "p.csv", "--bundle", tmp_path, *out[2:])
    assert not (tmp_path / "r.csv").exists()


# --- bad options, told before anything is trained --------------------------------------------------


@pytest.mark.usefixtures("untouched", "no_training")
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--threshold", "1.2"), "The threshold must lie in [0, 1], got 1.2"),
        (("--threshold", "-0.1"), "The threshold must lie in [0, 1], got -0.1"),
        (("--threshold", "nan"), "The threshold must lie in [0, 1], got nan"),
        (("--sparsity", "1"), "The sparsity must lie in [0, 1), got 1"),
        (("--sparsity", "nan"), "The sparsity must lie in [0, 1), got nan"),
        (("--choose", "best"), "Rule must be one of one-se, non-inferior, got 'best'"),
        (("--choose", "non-inferior", "--margin", "-1"), "The margin must lie in [0, 1], got -1"),
        (
            ("--criterion", "contributions"),
            "no criterion called 'contributions' (did you mean 'contribution'?)",
        ),
        (("--strategy", "magic"), "no strategy called 'magic'"),
        (("--granularity", "layer"), "Granularity must be one of weight, neuron, feature, got 'layer'"),
        (("--scope", "everything"), "Scope must be one of layer, global, adaptive, got 'everything'"),
        (("--act-at", "1.5"), "The risk to act at (--act-at) must lie in [0, 1], got 1.5"),
        (("--seed", "-1"), "The seed must be a whole number from 0, got -1"),
        (("--seed", str(2**63)), "The seed must be a whole number from 0"),
        (("--hidden", "64,many"), "Hidden widths are whole numbers from 1"),
        (("--hidden", "64,0"), "Hidden widths are whole numbers from 1"),
        (("--hidden", "1000000000"), "Hidden widths are whole numbers from 1"),
        (("--out", f"{__file__}/b"), "cannot be written to"),
    ],
)
def test_a_bad_option_of_prune(options: tuple[str, ...], expected: str, shell: Shell, place: Path) -> None:
    for model in ((), ("--model", place / "m.safetensors")):
        command = ("prune", place / "patients.csv", "--outcome", "stage", *model, "--out", place / "bundle")
        assert expected in shell.refused(*command, *options)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--thresholds", "0.1,1.5"), "The threshold must lie in [0, 1], got 1.5"),
        (("--thresholds", "-5"), "The threshold must lie in [0, 1], got -5"),
        (("--thresholds", "1"), "A sweep needs at least 2 thresholds, got 1"),
        (("--thresholds", "1000000000"), "at most 10,001 thresholds"),
        (("--thresholds", "many"), "Thresholds are a count such as 101"),
        (("--criterion", "none"), "no criterion called 'none'"),
        (("--scope", "none"), "Scope must be one of"),
        (("--granularity", "none"), "Granularity must be one of"),
    ],
)
def test_a_bad_option_of_sweep(options: tuple[str, ...], expected: str, shell: Shell, place: Path) -> None:
    assert expected in shell.refused(*on(place, "sweep", *options))


@pytest.mark.usefixtures("untouched", "no_training")
def test_places_that_cannot_be_written(shell: Shell, place: Path, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("important")
    table, model = place / "patients.csv", place / "m.safetensors"
    for out, expected in (
        (tmp_path / "none" / "m", "there is no folder"),
        (tmp_path, "is a folder"),
        (table, "is an input of this verb"),
    ):
        assert expected in shell.refused("train", table, "--outcome", "stage", "--out", out)
        assert expected in shell.refused("score", table, "--outcome", "stage", "--model", model, "--out", out)
        assert expected in shell.refused("predict", table, "--bundle", place / "bundle", "--out", out)
    sentence = shell.refused(
        "prune", table, "--outcome", "stage", "--model", model, "--out", tmp_path / "notes"
    )
    assert "is not just a bundle, as it holds 'mine.txt'" in sentence
    assert "is a file" in shell.refused(
        "prune", table, "--outcome", "stage", "--model", model, "--out", table
    )
    assert [path.name for path in (tmp_path / "notes").iterdir()] == ["mine.txt"]


# --- bad models ------------------------------------------------------------------------------------


class Marker:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.path,)


@pytest.mark.usefixtures("untouched", "no_training")
def test_bad_models(shell: Shell, place: Path, tmp_path: Path) -> None:
    whole = (place / "m.safetensors").read_bytes()
    path, marker = tmp_path / "theirs", tmp_path / "marker"

    def check(expected: str) -> None:
        for verb, more in (("score", ()), ("sweep", ()), ("prune", ("--out", place / "bundle"))):
            table = (place / "patients.csv", "--outcome", "stage")
            assert expected in shell.refused(verb, *table, "--model", path, *more)

    check("could not be read (No such file or directory)")
    path.write_bytes(whole[:-5])
    check("is incomplete: 5 of ")
    path.write_bytes(b"")
    check("is empty; copy or upload it again")
    torch.save(nn.Sequential(nn.Linear(2, 2)), path)
    check("is a whole pickled model, which can run code and is never opened")
    torch.save({"weight": torch.ones(2, 2), "more": Marker(marker)}, path)
    check("is a whole pickled model, which can run code and is never opened")
    assert not marker.exists()
    model = load_model(place / "m.safetensors")
    state = dict(model.network.state_dict()) | {"layers.1.weight": torch.full((4, 8), float("nan"))}
    with safetensors.safe_open(place / "m.safetensors", "pt") as file:
        safetensors.torch.save_file(state, path, file.metadata())
    check("Layer 'hidden 2' of the model holds 32 weights that are not finite")


def constant_model(place: Path, out: Path) -> Path:
    """All weights are zero: every patient has the same risk."""
    cohort = load_cohort(place / "patients.csv", outcome="stage")
    model: RiskModel = untrained_model(cohort)
    for value in model.network.state_dict().values():
        value.zero_()
    return save_model(model, out)


def test_a_model_that_says_the_same_of_everyone_is_no_error(
    shell: Shell, place: Path, tmp_path: Path
) -> None:
    model = constant_model(place, tmp_path / "m.safetensors")
    common = (place / "patients.csv", "--outcome", "stage", "--model", model)
    assert {feature["score"] for feature in shell.json("score", *common)["features"]} == {0}
    assert set(shell.json("sweep", *common, "--thresholds", 5)["auroc"]) == {0.5}
    assert shell.json("prune", *common, "--sparsity", 0.5, "--out", tmp_path / "b")["dense"]["auroc"] == 0.5


# --- a plain state_dict ----------------------------------------------------------------------------


def test_a_plain_state_dict(shell: Shell, place: Path, tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 1))
    path, constants = tmp_path / "theirs.pt", tmp_path / "scaling.json"
    torch.save(net.state_dict(), path)
    constants.write_text(json.dumps({n: {"mean": 50, "scale": 12} for n in ("age", "lactate", "noise")}))
    common = (place / "patients.csv", "--outcome", "stage", "--model", path)
    assert "add --activation (such as relu) and --scaling" in shell.refused("score", *common)
    how = ("--activation", "relu", "--scaling", f"constants={constants}", "--columns", 'age, lactate,"noise"')
    code, out, err = shell("score", *common, *how, "--json")
    assert code == 0
    assert [set(json.loads(out)["features"][0])] == [{"name", "score"}]
    assert "note: Missing values of 'lactate' are replaced by the median of train." in err
    found = shell.json("prune", *common, *how, "--sparsity", 0.4, "--classes", "0,1", "--out", tmp_path / "b")
    assert found["dense"]["features"] == 3
    assert load_model(tmp_path / "b" / "model.safetensors").origin.source == "uploaded"
    assert "none can be declared external" in shell.refused("score", *common, *how, "--external")


def test_a_plain_state_dict_that_does_not_fit(shell: Shell, place: Path, tmp_path: Path) -> None:
    path = tmp_path / "theirs.pt"
    torch.save(nn.Sequential(nn.Linear(9, 5), nn.ReLU(), nn.Linear(5, 2)).state_dict(), path)
    common = (place / "patients.csv", "--outcome", "stage", "--model", path, "--activation")
    for options, expected in (
        (
            ("relu", "--scaling", "scaled"),
            "takes 9 inputs, the table offers 6 columns, of which 'sex' and 'ward' are",
        ),
        (("relu", "--scaling", "fitted"), "which become"),
        (
            ("relu", "--scaling", "scaled", "--columns", "age,noise"),
            "takes 9 inputs, the table offers 2 columns",
        ),
        (("relu", "--scaling", "scaled", "--columns", "age,nois"), "(did you mean 'noise'?)"),
        (("swish", "--scaling", "scaled"), "Activation must be one of"),
        (("relu", "--scaling", "robust"), "Scaling must be one of"),
        (("relu", "--scaling", "constants"), "The scaling constants are missing"),
        (("relu", "--scaling", f"constants={tmp_path / 'none.json'}"), "'none.json' could not be read"),
    ):
        assert expected in shell.refused("score", *common, *options)


# --- when it is our fault, or the user stops it ----------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code", "expected"),
    [
        (
            ValueError("could not convert 'CANARY Jane Doe'"),
            1,
            "this is our fault: ValueError in test_cli.py",
        ),
        (KeyError("CANARY"), 1, "this is our fault: KeyError"),
        (MemoryError(), 1, "this is our fault: MemoryError"),
        (KeyboardInterrupt(), 130, "stopped before it was done; no file was changed."),
    ],
)
@pytest.mark.usefixtures("untouched")
def test_an_error_of_ours_shows_no_value_and_no_traceback(
    error: BaseException,
    code: int,
    expected: str,
    shell: Shell,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("medprune.training.fit", fails)
    got, out, err = shell(
        "train", place / "patients.csv", "--outcome", "stage", "--out", place / "m.safetensors"
    )
    assert (got, out) == (code, "")
    last = err.splitlines()[-1]
    assert expected.replace(" in test_cli.py", "") in last
    assert "Traceback" not in err
    assert "CANARY" not in err
    if code == 1:
        assert " in training.py:" in last


def test_serve_becomes_the_dashboard_of_the_checkout(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def becomes(program: str, command: list[str]) -> None:
        raise SystemExit(" ".join([program, *command[1:]]))

    monkeypatch.setattr("os.execv", becomes)
    app = Path(cli.__file__).parents[1] / "app.py"
    with pytest.raises(SystemExit, match=f"-m streamlit run {app} --server.port 9999"):
        cli.main(["serve", "--port", "9999"])
    assert 'address = "127.0.0.1"' in (app.parent / ".streamlit" / "config.toml").read_text()
    monkeypatch.setattr(cli, "PACKAGE", Path("/nowhere/medprune"))
    assert cli.main(["serve"]) == 2
    assert "app.py is not beside the package" in capfd.readouterr().err


def test_treatments_and_ranges_in_the_shell(shell: Shell, tmp_path: Path) -> None:
    frame = patient_table(ROWS)
    frame.loc[::10, "age"] = 999
    table = written(frame, tmp_path / "p.csv")
    asked = (table, "--outcome", "stage")
    problems = shell.json("inspect", *asked)["problems"]
    [sentinel] = [problem for problem in problems if problem["kind"] == "sentinel"]
    assert sentinel["treatments"] == ["sentinel-missing:age:999"]
    treated = shell.json("inspect", *asked, "--treat", *sentinel["treatments"], "--table-one")
    assert "sentinel" not in {problem["kind"] for problem in treated["problems"]}
    assert treated["treated"] == sentinel["treatments"]
    assert {row["variable"] for row in treated["table_one"]} == set(frame.columns) - {"stage"}
    model = tmp_path / "m.safetensors"
    shell.json("train", *asked, "--treat", "suggested", "--hidden", "4", "--out", model)
    assert load_model(model).origin.treatments == tuple(sentinel["treatments"])
    scored = shell.json("score", *asked, "--model", model)
    assert scored["rows"] == ROWS * 0.6
    assert "leave --treat out" in shell.refused("score", *asked, "--model", model, "--treat", "drop:age")
    assert "no treatment 'dropp'" in shell.refused("inspect", *asked, "--treat", "dropp:age")
    assert "cannot be read" in shell.refused("inspect", *asked, "--ranges", tmp_path / "none.csv")
    _, out, _ = shell("inspect", *asked)
    assert "--treat sentinel-missing:age:999" in out
    assert "--treat suggested" in out


def test_a_model_of_one_row_a_patient_finds_the_same_patients_again(shell: Shell, tmp_path: Path) -> None:
    frame = patient_table(ROWS).assign(who=np.arange(ROWS) // 2)
    asked = (written(frame, tmp_path / "p.csv"), "--outcome", "stage")
    model = tmp_path / "m.safetensors"
    more = ("--treat", "one-row-per-patient:who", "--treat", "drop:noise")
    shell.json("train", *asked, *more, "--hidden", "4", "--out", model)
    scored = shell.json("score", *asked, "--model", model, "--split", "all")
    assert (scored["rows"], scored["patients"]) == (ROWS / 2, ROWS / 2)
