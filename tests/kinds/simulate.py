"""Made-up patients whose outcome depends on what was recorded: vital signs, an ECG, a table with codes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medprune.kinds import Arrays


def vital_signs(patients: int = 240, time: int = 24, seed: int = 0) -> Arrays:
    """Heart rate, blood pressure, saturation and a channel of noise, hour by hour (N, time, 4), standardised.

    In some patients the heart rate climbs towards the end of the stay, in some the pressure falls. The
    outcome follows both trends; saturation and noise say nothing.
    """
    rng = np.random.default_rng(seed)
    hours = np.linspace(0, 1, time)
    climb, fall = rng.gamma(1.0, 1.0, (2, patients, 1))
    drift = rng.normal(size=(patients, time, 4)).cumsum(axis=1) / np.sqrt(time)
    signs = 0.5 * drift + 0.3 * rng.normal(size=(patients, time, 4))
    signs[:, :, 0] += 1.5 * climb * hours**2
    signs[:, :, 1] -= 1.5 * fall * hours**2
    worse = (climb + fall)[:, 0] + 0.2 * rng.normal(size=patients)
    return _arrays(signs, worse > np.median(worse))


def ecg(patients: int = 240, time: int = 48, seed: int = 0) -> Arrays:
    """One beat after another in two leads (N, time, 2); in the ill the wave between beats is turned over."""
    rng = np.random.default_rng(seed)
    ill = rng.random(patients) < 0.5
    every, start = rng.integers(10, 14, patients), rng.integers(0, 10, patients)
    phase = (np.arange(time)[None, :] - start[:, None]) % every[:, None]
    spike = np.exp(-0.5 * ((phase - 2) / 0.7) ** 2)
    wave = np.exp(-0.5 * ((phase - 6) / 1.2) ** 2) * np.where(ill, -0.5, 0.5)[:, None]
    leads = np.stack([2 * spike + wave, 0.7 * (2 * spike + wave)], axis=2)
    return _arrays(leads + 0.6 * rng.normal(size=leads.shape), ill)


def table(patients: int = 240, seed: int = 0) -> Arrays:
    """Three numbers and two codes (of 4 and 3 categories) a patient; the outcome needs both kinds."""
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(patients, 3))
    ward, drug = rng.integers(0, 4, patients), rng.integers(0, 3, patients)
    risk = numbers[:, 0] + np.array([0.0, 1.5, -1.5, 0.5])[ward] + np.array([0.0, 1.0, -1.0])[drug]
    columns = np.column_stack([numbers, ward, drug])
    return _arrays(columns, risk + 0.3 * rng.normal(size=patients) > 0)


def numbers(patients: int = 240, seed: int = 0) -> Arrays:
    """Five numbers a patient; the outcome needs the product of two of them."""
    rng = np.random.default_rng(seed)
    columns = rng.normal(size=(patients, 5))
    risk = columns[:, 0] + columns[:, 1] * columns[:, 2] + 0.3 * rng.normal(size=patients)
    return _arrays(columns, risk > 0)


def _arrays(inputs: NDArray[np.float64], outcome: NDArray[np.bool_]) -> Arrays:
    return Arrays(inputs.astype(np.float32), outcome.astype(np.int64))


def part(data: Arrays, first: int, last: int) -> Arrays:
    """Patients ``first`` to ``last`` of these."""
    return Arrays(data.inputs[first:last], data.outcome[first:last])
