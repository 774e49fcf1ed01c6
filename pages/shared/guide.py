"""What every page shares: its opening question, the next step, tiles, charts and tables with downloads."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from medprune import BadInput
from medprune.tables import csv_bytes
from pages.shared.session import Study

SMALL_TABLE = 100_000  # rows shown on screen; a download has them all


def plain(text: object) -> str:
    """User text for a Markdown place, with every mark that Markdown knows made harmless."""
    return "".join(f"\\{mark}" if mark in r"\`*_{}[]()<>#+-.!|$:~" else mark for mark in str(text))


def sidebar(study: Study) -> None:
    """The study so far, and what this software is not."""
    with st.sidebar:
        st.markdown("### MedPrune")
        for done, name, detail in _steps(study):
            icon = ":material/check_circle:" if done else ":material/radio_button_unchecked:"
            st.markdown(f"{icon} **{name}**" + (f"  \n{plain(detail)}" if detail else ""))
        st.caption("Research use; not a medical device. The data stays on this machine.")


def _steps(study: Study) -> list[tuple[bool, str, str]]:
    cohort, model, chosen = study.cohort, study.model, study.chosen
    rows = 0 if cohort is None else len(cohort.all())
    return [
        (
            cohort is not None,
            "Patients",
            f"{study.table.name}, {rows:,} rows" if cohort and study.table else "",
        ),
        (model is not None, "Model", f"{model.network.nonzero():,} parameters" if model else ""),
        (bool(study.scores), "Contributions", ""),
        (chosen is not None, "Threshold", f"{chosen.sparsity:.0%} removed" if chosen else ""),
        (study.finished is not None, "Export", "bundle ready" if study.finished else ""),
    ]


def opening(title: str, answer: str) -> None:
    """The page's title and one sentence that answers it."""
    st.title(title)
    st.markdown(answer)


def next_step(page: str, label: str) -> None:
    """The one thing to do next."""
    if st.button(label, type="primary", icon=":material/arrow_forward:", key=f"next_{page}"):
        st.switch_page(page)


def needs_cohort(study: Study) -> None:
    """Stop here, kindly, when there are no patients yet."""
    if study.cohort is None:
        st.info(
            "There are no patients yet: choose a sample or bring a table first.", icon=":material/groups:"
        )
        next_step("pages/1_patients.py", "Go to Patients")
        st.stop()


def needs_model(study: Study) -> None:
    needs_cohort(study)
    if study.model is None:
        st.info("There is no model yet: train one or upload one first.", icon=":material/hub:")
        next_step("pages/2_model.py", "Go to Model")
        st.stop()


@contextlib.contextmanager
def sentences() -> Iterator[None]:
    """Bad input becomes its sentence on the page; what was there before stays."""
    try:
        yield
    except BadInput as error:
        st.error(plain(error), icon=":material/error:")


@dataclass(frozen=True)
class Tile:
    """One number with its change against the original model."""

    label: str
    value: str
    change: str | None = None
    help: str | None = None


def tiles(row: Sequence[Tile]) -> None:
    """Numbers side by side; they wrap on a narrow screen."""
    with st.container(horizontal=True, gap="small"):
        for tile in row:
            st.metric(
                tile.label, tile.value, tile.change, delta_color="off", help=tile.help, border=True, width=150
            )


def chart(figure: go.Figure, *, key: str, alt: str) -> None:
    """A chart with its downloads: PNG from the camera in its corner, HTML (works offline) from the button."""
    config = {"displaylogo": False, "toImageButtonOptions": {"format": "png", "filename": key, "scale": 2}}
    st.plotly_chart(figure, key=f"chart_{key}", config=config, alt=alt)
    st.download_button(
        "Chart as HTML",
        data=lambda: figure.to_html(include_plotlyjs=True, full_html=True).encode(),
        file_name=f"{key}.html",
        mime="text/html",
        on_click="ignore",
        icon=":material/download:",
        type="tertiary",
        key=f"html_{key}",
    )


def table(frame: pd.DataFrame, *, key: str, **options: object) -> None:
    """A table with a CSV of all of its rows."""
    st.dataframe(frame.head(SMALL_TABLE), hide_index=True, key=f"table_{key}", **options)
    if len(frame) > SMALL_TABLE:
        st.caption(f"{SMALL_TABLE:,} of {len(frame):,} rows shown; the CSV has all.")
    st.download_button(
        "Table as CSV",
        data=lambda: csv_bytes(frame),
        file_name=f"{key}.csv",
        mime="text/csv",
        on_click="ignore",
        icon=":material/download:",
        type="tertiary",
        key=f"csv_{key}",
    )


def share(value: float) -> str:
    """A percentage with one decimal."""
    return "n/a" if pd.isna(value) else f"{value:.1%}"


def rate(value: float) -> str:
    """A metric with three decimals."""
    return "n/a" if pd.isna(value) else f"{value:.3f}"


def size_text(count: float) -> str:
    """Bytes in the unit a reader expects."""
    return f"{count:,.0f} B" if count < 1024 else f"{count / 1024:,.1f} KB"  # noqa: PLR2004
