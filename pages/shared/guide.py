"""What every page shares: its opening question, the next step, tiles, charts and tables with downloads."""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from medprune import BadInput, Candidate, Cohort, RiskModel, Split
from medprune.disclosure import FLOOR, Counts, protected, safe_count
from medprune.markup import plain
from medprune.prices import Prices
from medprune.tables import csv_bytes
from pages.shared import login, logs, session, startup
from pages.shared.session import Study

# What a sentence of the engine calls by the shell's option, and the form on screen by its label.
FIELDS = {
    "--exclude": "Columns to leave out",
    "--patient": "Patient column",
    "--positive": "What to predict",
    "--columns": "Its input columns",
    "--activation": "Activation",
    "--scaling": "Its inputs",
    "--external": "other patients",
}
PLURAL = {"weight": "weights", "neuron": "neurons", "feature": "features"}
TILE_WIDTH = 148
SAME = "no change"
WHY_HIDE = (
    "On Patients, in warnings about rare classes and in the count of decisions that flip: for a screen that "
    "others see. Findings about single columns, and rates, are shown as they are."
)
UNKNOWN = "It is unknown which of these patients this model was trained on: its figures may flatter it."
MOST_ROWS, ROW_HEIGHT = 16, 35  # a table shows so many rows before it scrolls
FEW = 10  # of a class in a split
UNGUESSABLE = 8  # bytes of chance in the name of a download
SMALL_TABLE = 100_000  # rows shown on screen; a download has them all


def on_screen(sentence: object) -> str:
    """A sentence of the engine for the page: options of the shell become the fields of the form."""
    text = re.sub(r" \([^()]*--[^()]*\)|, see --[a-z]+", "", str(sentence))
    for option, field in FIELDS.items():
        text = re.sub(rf"{option}\b( '[^']*'| [A-Z]+\b)?", f"“{field}”", text)
    return plain(text)


def only_if_safe() -> None:
    """Stop here when this server is not set up safely: the sentence is all that anybody sees."""
    try:
        startup.check()
    except BadInput as error:
        logs.LOG.error("refused to start: %s", error)
        st.error(on_screen(error), icon=":material/lock:")
        st.stop()


def sidebar(study: Study) -> None:
    """The study so far, and what this software is not."""
    with st.sidebar:
        for name, detail in _so_far(study):
            st.markdown(f"**{name}**  \n{plain(detail)}")
        hide = st.toggle(f"Hide small counts (1 to {FLOOR})", study.floor > 0, key="floor", help=WHY_HIDE)
        study.floor = FLOOR if hide else 0
        st.caption("Research use; not a medical device. The data stays on this machine.")
        login.leave()


def _so_far(study: Study) -> list[tuple[str, str]]:
    told: list[tuple[str, str]] = []
    if study.cohort is not None and study.table is not None:
        told.append(("Patients", f"{study.table.name}, {study.cohort.rows:,} rows"))
    if study.model is not None:
        told.append(("Model", f"{study.model.network.nonzero():,} parameters, {whence(study.model)}"))
    if study.chosen is not None:
        told.append(
            ("Chosen", f"{share(study.chosen.sparsity)} removed, {study.chosen.parameters:,} parameters")
        )
    done = {key: each.review for key, each in study.reviews.items() if each.review is not None}
    if done:
        told.append(("Review", f"{len(done)} done; test opened for {study.test_openings}"))
    if study.finished is not None:
        told.append(("Bundle", "ready to download"))
    return told


def whence(model: RiskModel) -> str:
    return model.origin.source if model.may_know_the_patients else f"seed {model.origin.seed}"


def opening(title: str, answer: str) -> None:
    """The page's title and one sentence that answers it."""
    st.title(title)
    st.markdown(answer)


def next_step(page: str, label: str) -> None:
    """The one thing to do next."""
    if st.button(label, type="primary", icon=":material/arrow_forward:", key=f"next_{page}"):
        st.switch_page(page)


def needs_cohort(study: Study, title: str) -> None:
    """Stop here, kindly, when there are no patients yet."""
    if study.cohort is None:
        st.title(title)
        st.info(
            "There are no patients yet: choose a sample or bring a table first.", icon=":material/groups:"
        )
        next_step("pages/1_patients.py", "Go to Patients")
        st.stop()


def needs_model(study: Study, title: str) -> None:
    """Stop here, kindly, when there is no model yet."""
    needs_cohort(study, title)
    if study.model is None:
        st.title(title)
        st.info("There is no model yet: train one or upload one first.", icon=":material/hub:")
        next_step("pages/2_model.py", "Go to Model")
        st.stop()


def warn_if_unknown(model: RiskModel) -> None:
    """Said wherever figures of such a model are shown."""
    if model.may_know_the_patients:
        st.warning(UNKNOWN, icon=":material/help:")


def warn_if_few(cohort: Cohort, split: Split) -> None:
    """Said wherever figures rest on a class that hardly anybody of a split belongs to."""
    counts = np.bincount(split.outcome[split.known], minlength=len(cohort.classes))
    floor = session.study().floor
    few = [
        f"{safe_count(int(n), floor)} of {plain(name)}"
        for name, n in zip(cohort.classes, counts, strict=True)
        if n < FEW
    ]
    if few:
        st.warning(
            f"Among {split.told()} are only {' and '.join(few)}: figures that give every class the same say, "
            "such as the AUROC of several classes, hang on these few.",
            icon=":material/groups:",
        )


def counted(cohort: Cohort, floor: int) -> Counts:
    """Rows of each class (and censored before the horizon) in train, tuning and test, with totals; small ones
    kept back."""
    splits = (cohort.train, cohort.tuning, cohort.test)
    return protected([np.bincount(cohort.group_of(s), minlength=len(cohort.groups)) for s in splits], floor)


def no_longer_needed(dense: Candidate, chosen: Candidate, prices: Prices) -> None:
    """What the next patient is spared, in the user's words."""
    gone = [name for name in dense.needed if name not in chosen.needed]
    if not gone:
        return
    listed = ", ".join(plain(name) for name in gone)
    spared = prices.total(gone)
    money = f", which cost **{spared:,.2f} {plain(prices.unit)}** a patient" if spared else ""
    st.markdown(f"**It no longer needs {len(gone)} of {dense.features} features**{money}: {listed}.")


@contextlib.contextmanager
def sentences() -> Iterator[None]:
    """Bad input becomes its sentence on the page; what was there before stays."""
    try:
        yield
    except BadInput as error:
        st.error(on_screen(error), icon=":material/error:")


@contextlib.contextmanager
def boundary() -> Iterator[None]:
    """What nobody foresaw: a number on the page, and in the terminal where it happened, without any value."""
    try:
        yield
    except Exception as error:
        number = logs.report(error)
        st.error(
            f"Something went wrong on our side (error {number}). Your study is as it was: go back to the "
            "step before and try again.",
            icon=":material/error:",
        )


@dataclass(frozen=True)
class Tile:
    """One number with its change against the original model."""

    label: str
    value: str
    change: str | None = None
    help: str | None = None
    note: str | None = None  # beside the change, such as its interval


def tiles(row: Sequence[Tile], width: int = TILE_WIDTH) -> None:
    """Numbers side by side; they wrap on a narrow screen. A note stands below its number."""
    with st.container(horizontal=True, gap="small"):
        for tile in row:
            if tile.note is None:
                _metric(tile, border=True, width=width)
                continue
            with st.container(border=True, width=width, gap="xxsmall"):
                _metric(tile, border=False, width="stretch")
                st.caption(tile.note)


def _metric(tile: Tile, *, border: bool, width: int | Literal["stretch"]) -> None:
    st.metric(
        tile.label,
        tile.value,
        tile.change,
        delta_color="off",  # an arrow and a number; whether that is good is for the reader
        delta_arrow="auto" if (tile.change or "").startswith(("+", "-")) else "off",
        help=tile.help,
        border=border,
        width=width,
    )


def chart(figure: go.Figure, *, key: str, alt: str, select: bool = False) -> Any:
    """A chart with its downloads: PNG from the camera in its corner, HTML (works offline) from the button.

    With ``select`` a click on a point runs the page again; what was clicked is handed back.
    """
    config = {
        "displaylogo": False,
        "modeBarButtonsToRemove": [
            "zoom2d",
            "pan2d",
            "zoomIn2d",
            "zoomOut2d",
            "autoScale2d",
            "select2d",
            "lasso2d",
        ],
        "toImageButtonOptions": {"format": "png", "filename": key, "scale": 2},
    }
    clicks = {"on_select": "rerun", "selection_mode": "points"} if select else {}
    event = st.plotly_chart(figure, key=f"chart_{key}", config=config, alt=alt, **clicks)

    def whole() -> bytes:
        return figure.to_html(include_plotlyjs=True, full_html=True).encode()

    download("Chart as HTML", whole, name=f"{key}.html", mime="text/html", key=f"html_{key}")
    return event if select else None


def download(
    label: str,
    data: Callable[[], bytes],
    *,
    name: str,
    key: str,
    mime: str = "application/octet-stream",
    kind: Literal["primary", "secondary", "tertiary"] = "tertiary",
) -> None:
    """The only way a file leaves a page; it is made when it is asked for.

    Streamlit gives a file to whoever knows its address, which it makes from the file's name and, of a large
    file, from samples of the content. The name therefore holds a part that nobody can guess and that no other
    file shares, or two models of equal size could be taken for one another, across users too.
    """

    def made() -> bytes:
        try:
            return data()
        except Exception as error:  # Streamlit would show and log its text
            number = logs.report(error)
            raise RuntimeError(f"something went wrong on our side (error {number})") from None

    stem, dot, suffix = name.rpartition(".")
    st.download_button(
        label,
        data=made,
        file_name=f"{stem}-{secrets.token_hex(UNGUESSABLE)}{dot}{suffix}",
        mime=mime,
        on_click="ignore",
        icon=":material/download:",
        type=kind,
        key=key,
    )


def table_height(frame: pd.DataFrame) -> int:
    """In pixels, so that a short table stands there whole."""
    return ROW_HEIGHT * (min(len(frame), MOST_ROWS) + 1) + 3


def table(frame: pd.DataFrame, *, key: str, **options: object) -> None:
    """A table with a CSV of all of its rows."""
    st.dataframe(
        frame.head(SMALL_TABLE),
        hide_index=True,
        key=f"table_{key}",
        height=table_height(frame),
        **options,
    )
    if len(frame) > SMALL_TABLE:
        st.caption(f"{SMALL_TABLE:,} of {len(frame):,} rows shown; the CSV has all.")
    csv_button(frame, key=key, label="Table as CSV")


def csv_button(frame: pd.DataFrame, *, key: str, label: str) -> None:
    """A download of the whole table, safe to open in a spreadsheet."""
    download(label, lambda: csv_bytes(frame), name=f"{key}.csv", mime="text/csv", key=f"csv_{key}")


def share(value: float) -> str:
    """A percentage with one decimal."""
    return "n/a" if pd.isna(value) else f"{value:.1%}"


def rate(value: float) -> str:
    """A metric with three decimals."""
    return "n/a" if pd.isna(value) else f"{value:.3f}"


SHARES = ("accuracy", "balanced_accuracy", "sensitivity", "specificity")


def metric_text(name: str, value: float) -> str:
    """A metric as it is written everywhere: shares in percent, the others with three decimals."""
    return share(value) if name in SHARES else rate(value)


def change_text(name: str, change: float) -> str | None:
    """The change of a metric against the original model."""
    if pd.isna(change):
        return None
    text = f"{100 * change:+.1f} pp" if name in SHARES else f"{change:+.3f}"
    return SAME if not text.strip("+-0. p") else text


def size_text(count: float) -> str:
    """Bytes in the unit a reader expects."""
    return f"{count:,.0f} B" if count < 1024 else f"{count / 1024:,.1f} KB"  # noqa: PLR2004
