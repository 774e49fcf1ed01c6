"""Made-up tables like those that hospitals bring: large, and with the troubles that such tables have.

Each is named after a public table that it is like in size, columns and troubles; none of its rows are from
there. Seeded; every table is made in seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Hospital:
    """A table, its outcome, and the troubles in it: kinds of problems, and columns that must be named."""

    make: Callable[[int], pd.DataFrame]
    rows: int
    outcome: str
    troubles: tuple[tuple[str, str | None], ...]
    positive: str | None = None


def _risk(rng: np.random.Generator, score: np.ndarray, share: float) -> np.ndarray:
    noisy = score + rng.logistic(size=len(score))
    return (noisy > np.quantile(noisy, 1 - share)).astype(int)


def stays(rows: int) -> pd.DataFrame:
    """Diabetic hospital stays: "?" for missing, patients with several stays, codes of the ICD."""
    rng = np.random.default_rng(1)
    patient = rng.integers(0, int(0.7 * rows), rows) * 9 + 135
    ages = np.array([f"[{ten}-{ten + 10})" for ten in range(0, 100, 10)])
    codes = np.array(
        [*(str(code) for code in range(250, 800)), *(f"V{code}" for code in range(10, 60)), "250.83"]
    )
    frame = pd.DataFrame(
        {
            "encounter_id": rng.permutation(rows) * 7 + 2_278_392,
            "patient_nbr": patient,
            "race": rng.choice(
                ["Caucasian", "AfricanAmerican", "?", "Other"], rows, p=[0.75, 0.19, 0.03, 0.03]
            ),
            "gender": rng.choice(["Female", "Male", "Unknown/Invalid"], rows, p=[0.54, 0.45999, 0.00001]),
            "age": ages[np.minimum(rng.poisson(6.5, rows), 9)],
            "weight": np.where(rng.random(rows) < 0.97, "?", "[75-100)"),
            "admission_type_id": rng.integers(1, 9, rows),
            "discharge_disposition_id": rng.choice([1, 2, 3, 6, 11], rows, p=[0.6, 0.1, 0.15, 0.13, 0.02]),
            "time_in_hospital": rng.integers(1, 15, rows),
            "payer_code": np.where(rng.random(rows) < 0.4, "?", rng.choice(["MC", "HM", "SP"], rows)),
            "medical_specialty": np.where(
                rng.random(rows) < 0.49, "?", [f"S{i}" for i in rng.integers(0, 70, rows)]
            ),
            "num_lab_procedures": rng.integers(1, 133, rows),
            "num_medications": rng.integers(1, 82, rows),
            "number_inpatient": rng.poisson(0.6, rows),
            **{f"diag_{i}": rng.choice(codes, rows) for i in (1, 2, 3)},
            "number_diagnoses": rng.integers(1, 17, rows),
            "max_glu_serum": rng.choice(["None", "Norm", ">200"], rows, p=[0.94, 0.04, 0.02]),
            "A1Cresult": rng.choice(["None", ">8", "Norm"], rows, p=[0.83, 0.09, 0.08]),
            **{
                drug: rng.choice(["No", "Steady", "Up", "Down"], rows, p=[0.8, 0.17, 0.02, 0.01])
                for drug in ("metformin", "glipizide", "insulin")
            },
            **{
                drug: np.where(rng.random(rows) < 0.0003, "Steady", "No")
                for drug in ("acetohexamide", "tolbutamide")
            },
            "examide": "No",
            "citoglipton": "No",
            "change": rng.choice(["Ch", "No"], rows),
            "diabetesMed": rng.choice(["Yes", "No"], rows, p=[0.77, 0.23]),
        }
    )
    again = _risk(rng, 0.5 * frame["number_inpatient"].to_numpy() + (frame["insulin"] == "Up"), 0.46)
    soon = again.astype(bool) & (rng.random(rows) < 0.25)
    frame["readmitted"] = np.where(soon, "<30", np.where(again == 1, ">30", "NO"))
    frame.loc[frame["discharge_disposition_id"] == 11, "readmitted"] = "NO"  # who has died
    return frame


def thyroid(rows: int) -> pd.DataFrame:
    """Thyroid records: ages of 65,526, and a diagnosis with the record's number, so one class a row."""
    rng = np.random.default_rng(2)
    letters = np.array(
        [*"-KGIFRASLMNBCJQDEHOP", "GK", "KJ", "C|I", "H|K", "MK", "FK", "GI", "LJ", "OI", "D|R"]
    )
    shares = np.array([0.74, *(0.05 * 0.75 ** np.arange(len(letters) - 1))])
    diagnosis = rng.choice(letters, rows, p=shares / shares.sum())
    ill = diagnosis != "-"
    tsh = np.where(diagnosis == "F", rng.gamma(3, 15, rows), rng.gamma(2, 1, rows)).round(2)
    frame = pd.DataFrame(
        {
            "age": rng.integers(1, 98, rows),
            "sex": rng.choice(["F", "M", "?"], rows, p=[0.66, 0.31, 0.03]),
            **{
                name: np.where(rng.random(rows) < share, "t", "f")
                for name, share in (
                    ("on_thyroxine", 0.13), ("on_antithyroid_meds", 0.012), ("sick", 0.04), ("pregnant", 0.01),  # noqa: E501
                    ("thyroid_surgery", 0.014), ("lithium", 0.01), ("goitre", 0.009), ("tumor", 0.026),
                    ("hypopituitary", 0.0002), ("psych", 0.04),
                )
            },
            "TSH_measured": "t",
            "TSH": tsh,
            "T3": np.where(rng.random(rows) < 0.28, np.nan, rng.normal(2, 0.6, rows).clip(0.05).round(2)),
            "TT4": np.where(ill, rng.normal(95, 45, rows), rng.normal(108, 30, rows)).clip(2).round(),
            "T4U": np.where(rng.random(rows) < 0.09, np.nan, rng.normal(0.97, 0.15, rows).round(2)),
            "TBG": np.where(rng.random(rows) < 0.96, np.nan, rng.normal(29, 10, rows).round(1)),
            "referral_source": rng.choice(["other", "SVI", "SVHC", "STMW", "SVHD", "WEST"], rows),
        }
    )  # fmt: skip
    frame.loc[[3, 50, 90, 200], "age"] = [455, 65_511, 65_512, 65_526]
    frame["TT4"] = frame["TT4"].where(rng.random(rows) > 0.05)
    frame["diagnosis"] = [f"{letter}[{840_801_013 + 7 * i}]" for i, letter in enumerate(diagnosis)]
    return frame


def infarctions(rows: int) -> pd.DataFrame:
    """Infarctions: 111 inputs, then complications that are known only after admission, then death."""
    rng = np.random.default_rng(3)
    age = rng.normal(62, 11, rows).round().clip(26, 92)
    frame = pd.DataFrame(
        {"ID": np.arange(1, rows + 1), "AGE": np.where(rng.random(rows) < 0.005, np.nan, age)}
    )
    frame["SEX"] = rng.integers(0, 2, rows)
    more = {}
    for i in range(90):
        share = rng.choice([0.01, 0.05, 0.2, 0.4])
        values = (rng.random(rows) < share).astype(float)
        more[f"anam_{i:02d}"] = np.where(rng.random(rows) < rng.choice([0.0, 0.05, 0.3]), np.nan, values)
    more["S_AD_KBRIG"] = np.where(
        rng.random(rows) < 0.63, np.nan, rng.normal(137, 33, rows).round(-1).clip(0)
    )
    more["K_BLOOD"] = np.where(rng.random(rows) < 0.22, np.nan, rng.normal(4.2, 0.7, rows).round(1))
    more["L_BLOOD"] = np.where(rng.random(rows) < 0.07, np.nan, rng.gamma(7, 1.3, rows).round(1))
    for day in (2, 3):
        more[f"R_AB_{day}_n"] = rng.choice([0, 1, 2], rows, p=[0.8, 0.15, 0.05])
        more[f"NA_R_{day}_n"] = rng.choice([0, 1, 2], rows, p=[0.8, 0.15, 0.05])
    frame = pd.concat([frame, pd.DataFrame(more)], axis=1)
    dies = _risk(rng, 0.06 * (age - 62) + np.nan_to_num(more["anam_03"]), 0.16).astype(bool)
    complications = {}
    for name, often, else_ in (
        ("FIBR_PREDS", 0.15, 0.09), ("OTEK_LANC", 0.25, 0.06), ("RAZRIV", 0.20, 0.0), ("DRESSLER", 0.0, 0.05),
        ("ZSN", 0.3, 0.22), ("REC_IM", 0.25, 0.06), ("P_IM_STEN", 0.01, 0.1),
    ):  # fmt: skip
        complications[name] = (rng.random(rows) < np.where(dies, often, else_)).astype(int)
    complications["LET_IS"] = np.where(dies, rng.choice([1, 2, 3, 4, 5, 6, 7], rows), 0)
    return pd.concat([frame, pd.DataFrame(complications)], axis=1)


def intensive_care(rows: int) -> pd.DataFrame:
    """Intensive-care stays: 180 columns, -1 for unknown in most of them."""
    rng = np.random.default_rng(4)
    ill = rng.normal(size=rows)
    frame = {"stay_id": np.arange(30_000_000, 30_000_000 + rows), "age": rng.integers(18, 91, rows)}
    frame["gender"] = np.where(rng.random(rows) < 0.02, -1, rng.integers(0, 2, rows))
    means = {"heart_rate": 86, "sbp": 120, "glucose": 140, "lactate": 2, "sodium": 139, "creatinine": 1.2}
    for name, mean in means.items():
        for what in ("first", "last", "lowest", "highest"):
            values = np.abs(mean * (1 + 0.2 * rng.normal(size=rows) + 0.05 * ill)).round(2)
            frame[f"{name}_{what}"] = np.where(rng.random(rows) < 0.15, -1, values)
    for i in range(180 - len(frame) - 1):
        values = np.abs(rng.gamma(2, 2 + i % 7, rows) + 0.3 * ill).round(1)
        frame[f"lab_{i:03d}"] = np.where(rng.random(rows) < rng.choice([0.05, 0.4, 0.8]), -1, values)
    table = pd.DataFrame(frame)
    table["in_hospital_death"] = _risk(rng, 1.5 * ill + 0.02 * (table["age"].to_numpy() - 60), 0.14)
    return table


def survey(rows: int) -> pd.DataFrame:
    """A telephone survey on diabetes: few answers a question, a tenth of the rows are repeats."""
    rng = np.random.default_rng(5)
    fresh = rows - rows // 10
    bmi = rng.normal(28, 6, fresh).round().clip(12, 98)
    frame = pd.DataFrame(
        {
            "HighBP": (rng.random(fresh) < 0.43).astype(float),
            "HighChol": (rng.random(fresh) < 0.42).astype(float),
            "CholCheck": (rng.random(fresh) < 0.963).astype(float),
            "BMI": bmi,
            **{
                name: (rng.random(fresh) < share).astype(float)
                for name, share in (
                    ("Smoker", 0.44),
                    ("Stroke", 0.04),
                    ("PhysActivity", 0.76),
                    ("Veggies", 0.81),
                )
            },
            "AnyHealthcare": (rng.random(fresh) < 0.951).astype(float),
            "GenHlth": rng.integers(1, 6, fresh).astype(float),
            "MentHlth": np.where(rng.random(fresh) < 0.7, 0, rng.integers(1, 31, fresh)).astype(float),
            "PhysHlth": np.where(rng.random(fresh) < 0.63, 0, rng.integers(1, 31, fresh)).astype(float),
            "Sex": rng.integers(0, 2, fresh).astype(float),
            "Age": rng.integers(1, 14, fresh).astype(float),
            "Education": rng.integers(1, 7, fresh).astype(float),
            "Income": rng.integers(1, 9, fresh).astype(float),
        }
    )
    score = 0.08 * (bmi - 28) + frame["HighBP"].to_numpy() + 0.4 * frame["GenHlth"].to_numpy()
    frame["Diabetes_binary"] = _risk(rng, score, 0.14).astype(float)
    again = frame.iloc[rng.integers(0, fresh, rows - fresh)]
    return pd.concat([frame, again]).sample(frac=1, random_state=5).reset_index(drop=True)


HOSPITALS = {
    "stays": Hospital(
        stays,
        100_000,
        "readmitted",
        (
            ("identifier", "encounter_id"), ("repeated_patient", "patient_nbr"), ("missing", "weight"),
            ("constant", "examide"), ("constant", "acetohexamide"), ("leakage", "discharge_disposition_id"),
            ("rare_category", "diag_1"),
        ),
    ),
    "thyroid": Hospital(
        thyroid,
        9_000,
        "diagnosis",
        (
            ("imbalance", "diagnosis"), ("impossible", "age"), ("missing", "TBG"), ("constant", "TSH_measured"),  # noqa: E501
            ("constant", "hypopituitary"),
        ),
    ),
    "infarctions": Hospital(
        infarctions,
        1_700,
        "LET_IS",
        (
            ("identifier", "ID"), ("leakage", "RAZRIV"), ("leakage", "OTEK_LANC"), ("leakage", "R_AB_3_n"),
            ("missing", "S_AD_KBRIG"), ("few_rows", None),
        ),
        positive=">0",
    ),
    "intensive care": Hospital(
        intensive_care,
        8_000,
        "in_hospital_death",
        (("identifier", "stay_id"), ("sentinel", "lab_000"), ("sentinel", "gender"), ("few_rows", None)),
    ),
    "survey": Hospital(survey, 250_000, "Diabetes_binary", (("duplicate", None),)),
}  # fmt: skip
