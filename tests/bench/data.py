"""The tables: the two samples that ship with MedPrune, and two that may lie beside the repository."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from medprune import Cohort, load_cohort

REPO = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Table:
    """A file of patients, and what is predicted."""

    name: str
    file: str  # from the root of the repository
    outcome: str
    positive: str | None = None

    @property
    def path(self) -> Path:
        return REPO / self.file

    def cohort(self, seed: int) -> Cohort:
        return load_cohort(self.path, outcome=self.outcome, positive=self.positive, seed=seed)

    def sha256(self) -> str:
        return hashlib.sha256(self.path.read_bytes()).hexdigest()


BREAST = Table("Breast cancer", "assets/samples/breast_cancer.csv", "diagnosis", "malignant")
NHEFS = Table("NHEFS mortality", "assets/samples/nhefs.csv", "death", "1")
HEART = Table("Heart, 4 hospitals", "../shared/data/uci_heart_4sites.csv", "num", ">0")
FETAL = Table("Cardiotocography, 3 classes", "../shared/data/cardiotocography.csv", "fetal_health")

TABLES = (BREAST, NHEFS, HEART, FETAL)
