"""Our figures beside those of the R packages pROC and CalibrationCurves, on the tables they come with.

Both packages and their tables are under the GPL-3, so neither lies here: the numbers are quoted, and the
tables are read from a folder (:data:`FOLDER`) or asked of R, where it and the package are installed. Without
either these tests are skipped, and say how to get the tables.

Verified on 2026-11-29 with Python 3.11, numpy 2.4.6, scipy 1.17.1 and statsmodels 0.15.0: all tests passed,
with aSAH as Debian's r-cran-proc 1.18.0-1+b1 holds it, and with traindata and testdata made anew as the
manual page of CalibrationCurves' simulateddata has it (R's generators, seed 1782).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from medprune.review import influence
from medprune.review.calibration import calibration
from medprune.review.discrimination import paired_auroc
from medprune.review.observed import Observed
from medprune.review.resampled import ici

FOLDER = "MEDPRUNE_R_TABLES"  # the environment variable that names it
SECONDS = 60


def table(package: str, name: str) -> pd.DataFrame:
    """A package's table, from the folder or from R; skips aloud where it is in neither."""
    asked = f"write.csv({package}::{name}, row.names = FALSE)"
    file = Path(os.environ.get(FOLDER, "")) / f"{name}.csv"
    if os.environ.get(FOLDER) and file.is_file():
        return pd.read_csv(file)
    if (script := shutil.which("Rscript")) is not None:
        told = subprocess.run(
            [script, "-e", asked], check=False, capture_output=True, text=True, timeout=SECONDS
        )
        if told.returncode == 0:
            return pd.read_csv(StringIO(told.stdout))
    pytest.skip(
        f"the table {name} of the R package {package} (GPL-3) is not here: in R run "
        f"write.csv({package}::{name}, '{name}.csv', row.names = FALSE) and name that folder in {FOLDER}, "
        f"or have R and {package} installed"
    )


# --- pROC: 113 patients after a subarachnoid haemorrhage, 41 with a poor outcome ---------------------------


@pytest.fixture(scope="module")
def haemorrhage() -> pd.DataFrame:
    found = table("pROC", "aSAH")
    return found.assign(event=found["outcome"] == "Poor")


def test_paired_auroc_is_that_of_proc(haemorrhage: pd.DataFrame) -> None:
    """roc.test(method = "delong", paired = TRUE) of wfns against s100b."""
    event = haemorrhage["event"].to_numpy(bool)
    wfns, protein = (haemorrhage[name].to_numpy(float) for name in ("wfns", "s100b"))
    assert (len(event), int(event.sum())) == (113, 41)
    found = paired_auroc(event, protein, wfns)
    assert found.second.value == pytest.approx(0.8236789, abs=5e-8)
    assert found.first.value == pytest.approx(0.7313686, abs=5e-8)
    assert found.z == pytest.approx(2.20898359144091, abs=1e-12)
    assert found.p == pytest.approx(0.0271757822291882, abs=1e-12)
    assert found.difference.low == pytest.approx(0.0104061769564846, abs=1e-12)
    assert found.difference.high == pytest.approx(0.174214419249478, abs=1e-12)


def test_another_pair_is_that_of_proc(haemorrhage: pd.DataFrame) -> None:
    event = haemorrhage["event"].to_numpy(bool)
    wfns, kinase = (haemorrhage[name].to_numpy(float) for name in ("wfns", "ndka"))
    assert paired_auroc(event, kinase, wfns).z == pytest.approx(2.79777591868904, abs=1e-12)


# --- CalibrationCurves: 500 simulated patients, 270 with the event ----------------------------------------


@pytest.fixture(scope="module")
def simulated() -> tuple[np.ndarray, np.ndarray]:
    """Who has the event, and the risks of a logistic regression on x1 to x4, fitted on traindata."""
    learnt, seen = (table("CalibrationCurves", name) for name in ("traindata", "testdata"))
    inputs = ["x1", "x2", "x3", "x4"]
    fit = sm.GLM(learnt["y"], sm.add_constant(learnt[inputs]), family=sm.families.Binomial()).fit()
    event = seen["y"].to_numpy(bool)
    assert (len(event), int(event.sum())) == (500, 270)
    return event, fit.predict(sm.add_constant(seen[inputs])).to_numpy(float)


def test_calibration_is_that_of_calibration_curves(simulated: tuple[np.ndarray, np.ndarray]) -> None:
    found = calibration(*simulated)
    assert found.slope.value == pytest.approx(0.82278, abs=5e-6)
    assert (found.slope.low, found.slope.high) == pytest.approx((0.66582, 0.97974), abs=5e-6)
    assert found.in_the_large.value == pytest.approx(0.22405, abs=5e-6)
    assert (found.in_the_large.low, found.in_the_large.high) == pytest.approx((0.00339, 0.44470), abs=5e-6)
    assert found.observed_over_expected.value == pytest.approx(1.07039, abs=5e-6)


def test_the_integrated_calibration_index_is_without_robust_rounds(
    simulated: tuple[np.ndarray, np.ndarray],
) -> None:
    """.0430 by lowess without them; with the library's usual three it would be .0663. The quick curve that
    the review's draws use is the same to about 1e-4."""
    event, risk = simulated
    assert calibration(event, risk).ici == pytest.approx(0.0430, abs=5e-5)
    observed = Observed(event, np.arange(len(event)).astype(np.uint64))
    assert ici(observed, risk) == pytest.approx(0.0430, abs=2e-4)


def test_auroc_and_brier(simulated: tuple[np.ndarray, np.ndarray]) -> None:
    event, risk = simulated
    observed = Observed(event, np.arange(len(event)).astype(np.uint64))
    assert influence.auroc(observed, risk).value == pytest.approx(0.814267, abs=5e-7)
    assert influence.brier(observed, risk).value == pytest.approx(0.177033, abs=5e-7)
