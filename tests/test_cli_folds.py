"""The shell's ``prune --folds``: chosen by cross-validation, told in JSON and words, all models counted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from medprune import Schedule, Validation, cli, load_model
from medprune.flow import Choice
from tests.makers import patient_table

QUICK = Schedule(epochs=3)
HERE = ("--folds", 2, "--processes", 1)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table and a small model."""
    folder = tmp_path_factory.mktemp("folds")
    patient_table(120).to_csv(folder / "p.csv", index=False)
    words = ["train", str(folder / "p.csv"), "--outcome", "stage", "--hidden", "4", "--quiet"]
    assert cli.main([*words, "--out", str(folder / "m.safetensors")]) == 0
    return folder


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks that train for a moment."""
    monkeypatch.setattr("medprune.options.Validation", lambda **how: Validation(**how, schedule=QUICK))
    grid = {"rounds": (1, 2), "scope": ("layer",), "learning_rate": (2e-3,), "epochs": (3,)}
    monkeypatch.setattr("medprune.settings_search.GRID", grid)


def words(place: Path, out: Path, *more: object) -> list[str]:
    common = ["prune", place / "p.csv", "--outcome", "stage", "--model", place / "m.safetensors"]
    return [str(word) for word in (*common, "--out", out, *more)]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("how", "rule"),
    [
        (
            ("--choose", "non-inferior", "--margin", "0.3", "--nested", "--granularity", "neuron"),
            "non-inferior",
        ),
        (("--sparsity", "0.5", "--repeats", "2"), "smallest"),
        (("--threshold", "0.05", "--scope", "layer"), "one-se"),
    ],
    ids=lambda how: how[0] if isinstance(how, tuple) else how,
)
def test_prune_by_folds(
    how: tuple[str, ...], rule: str, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "b"
    assert cli.main(words(place, out, *HERE, *how, "--json")) == 0
    printed, told = capsys.readouterr()
    found = json.loads(printed)
    selection = found["selection"]
    assert (selection["folds"], selection["rule"]) == (2, rule)
    assert selection["nested"] == ("--nested" in how)
    assert selection["patients"] == 96
    assert f"about {selection['models_trained']} models" in told or "--threshold" in how
    if "--sparsity" in how:
        assert found["sparsity"]["requested"] == selection["option"] == 0.5
    elif "--threshold" in how:
        assert found["threshold"] == 0.05
        assert selection["settings"]["scope"] == "layer"
    else:
        assert found["sparsity"]["requested"] == pytest.approx(selection["option"])
    record = json.loads((out / "provenance.json").read_text())
    burden = record["search_burden"]
    assert burden["models_trained"] == found["models_trained"] > selection["models_trained"]
    assert burden["of_these_in_folds"] == selection["models_trained"]
    assert record["selection"]["sentence"] == selection["sentence"]
    assert load_model(out / "model.safetensors").origin.test_openings == 2, "opened once, at the end"


@pytest.mark.usefixtures("quick")
def test_the_sentence_tells_what_the_folds_found(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words(place, tmp_path / "b", *HERE, "--sparsity", 0.5)) == 0
    printed, told = capsys.readouterr()
    assert printed.startswith("In 2 folds, on 96 patients of train and tuning, ")
    assert "Bundle (not reviewed) in" in printed
    assert "note: 2 folds: about 6 models will be trained." in told
    assert "cross-validating" in told


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def trains(*_: object, **__: object) -> None:
        raise AssertionError

    for name in ("medprune.training.fit", "medprune.together.retrain_all", "medprune.flow.prune_steps"):
        monkeypatch.setattr(name, trains)


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--folds", 1), "Folds must be in [2, 20], got 1"),
        (("--folds", 5, "--repeats", 0), "Repeats must be in [1, 100], got 0"),
        (("--folds", 5, "--processes", 0), "needs at least one process, got 0"),
        (("--repeats", 2), "add --folds"),
        (("--nested",), "add --folds"),
        (("--folds", 3, "--choose", "smallest"), "Rule must be one of one-se, non-inferior, got 'smallest'"),
    ],
    ids=str,
)
def test_a_bad_option_is_told_before_training(
    options: tuple[object, ...],
    expected: str,
    place: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = words(place, tmp_path / "b")
    assert cli.main([*command, *map(str, options)]) == 2
    assert expected in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


def test_settings_at_a_threshold_belong_to_the_contribution_path() -> None:
    from medprune import BadInput
    from tests.makers import patient_cohort, untrained_model

    cohort = patient_cohort()
    choice = Choice(threshold=0.1, folds=Validation())
    with pytest.raises(BadInput, match="searched for the contribution path, not for 'genetic'"):
        choice.by_folds(untrained_model(cohort), cohort, "genetic")
