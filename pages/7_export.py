"""Export: the bundle, and the proof that it computes the same."""

import tempfile
from datetime import date, timedelta
from pathlib import Path as FilePath

import pandas as pd
import streamlit as st

from medprune import Candidate, Cohort, Compression, Path, compression, export
from medprune.disclosure import safe_count
from medprune.figures.tradeoff import METRIC_NAMES
from medprune.flow import Measured, measure
from medprune.performance import BINARY
from medprune.review import Override, Review
from medprune.review.gate import FAIL
from medprune.too_good import too_good
from pages.shared import about_form, guide, limit_form, reviewing, session
from pages.shared.depth import MARKS
from pages.shared.guide import Tile, change_text, metric_text, plain, rate, share, size_text
from pages.shared.session import Finished, Study

CONTENTS = {
    "model.onnx": "the whole model: raw columns with missing values in, risks out",
    "model.safetensors, model.json": "the same for MedPrune and PyTorch, and its description in plain sight",
    "predict.py": "scores a CSV with numpy, pandas and onnxruntime alone",
    "load_torch.py": "the network in plain PyTorch",
    "provenance.json": "hashes of data and parent model, seed, versions, every setting, the search burden",
}
OF_A_REVIEW = {
    "card.md, report.html": "what the review found, in words and in pictures, to print or to read offline",
    "review.json": "the same as numbers, with every limit; of no single patient",
}
SEVERAL = (
    "Of several classes, the largest risk is the decision; AUROC, AUPRC, F1, sensitivity and specificity are "
    "means over the classes, each against the others."
)

USUAL_DAYS = 90  # that an override holds
FEW_FLIPS = "Few patients are decided on differently; how many is not shown, as small counts are hidden."
MEGABYTE = 1024**2
INT8 = {
    "weights": "weights only: the smallest file, and risks that hardly move",
    "full": "weights and activations: quicker for wide networks, but risks move more, most of all those of "
    "patients unlike the train patients",
}


def build(study: Study, cohort: Cohort, chosen: Candidate, path: Path) -> None:
    """Open test once, write the bundle, verify it; nobody has reviewed it."""
    dense, pruned = measure(path.dense.model, cohort.test), measure(chosen.model, cohort.test)
    model = reviewing.open_test(study, chosen, path.dense.model)
    record = reviewing.record(study, dense, pruned)
    with tempfile.TemporaryDirectory(prefix="medprune-") as scratch:
        bundle = export(model, None, FilePath(scratch) / reviewing.BUNDLE, provenance=record)
        study.finished = Finished(chosen, path.granularity, bundle, bundle.zip.read_bytes(), dense, pruned)


def with_review(study: Study, review: Review) -> None:
    """The model was reviewed: it leaves with its review, and only with a name where the gate did not pass."""
    guide.opening(
        "Export",
        f"The chosen model was reviewed, and its bundle leaves with the review inside. {MARKS[review.gate]}",
    )
    limit_form.loosened(study)
    if review.gate in reviewing.NEEDS_A_NAME:
        answered_for(study, review)
    about_form.ask(study)
    if reviewing.may_leave(review) and st.button(
        "Build the bundle", type="primary", icon=":material/inventory_2:", key="build"
    ):
        with guide.sentences(), st.spinner("Writing and verifying…", show_time=True):
            reviewing.build(study, review)
            st.rerun()
    if st.button("Back to the review", icon=":material/fact_check:", key="back_to_review"):
        st.switch_page("pages/6_review.py")


def answered_for(study: Study, review: Review) -> None:
    """Who takes a model that did not pass, why, and until when; without it nothing is downloaded."""
    given = review.override
    if given is not None:
        over = "" if reviewing.may_leave(review) else " **That day is over: nothing leaves any more.**"
        st.warning(
            f"Taken all the same by **{plain(given.name)}**: {plain(given.reason)} Until "
            f"{given.expires.isoformat()}.{over}",
            icon=":material/history_edu:",
        )
        if st.button("Take the override back", key="no_override"):
            reviewing.override(study, None)
            st.rerun()
        return
    what = "A limit is broken" if review.gate == FAIL else "These patients cannot answer every question"
    st.error(
        f"{what}, so the bundle stays here. Somebody may answer for it, with a name, a reason and a last "
        "day, which are printed in its card.",
        icon=":material/block:",
    )
    with st.form("override"):
        name = st.text_input("Name", max_chars=100, key="override_name")
        reason = st.text_area("Reason", max_chars=1000, key="override_reason")
        until = st.date_input("Until", date.today() + timedelta(days=USUAL_DAYS), date.today(),
                              key="override_until", format="YYYY-MM-DD")  # fmt: skip
        if st.form_submit_button("Record the override", icon=":material/history_edu:", key="override"):
            with guide.sentences():
                reviewing.override(study, Override.read(name, reason, str(until)))
                st.rerun()


def unreviewed(study: Study, chosen: Candidate, path: Path, cohort: Cohort) -> None:
    """Before the review, or instead of it."""
    guide.opening(
        "Export",
        f"The chosen model has **{share(chosen.sparsity)} of its {path.granularity}s removed**, and is not "
        f"reviewed. Reviewing it, or building its bundle, opens the **{cohort.test.told()}**, locked until "
        "now: do it once the choice is final.",
    )
    if reviewing.was_reviewed(study):
        st.info(
            "This model was reviewed for another risk that is acted on, or the review is not done yet: it "
            "leaves with a review of what it is now.",
            icon=":material/fact_check:",
        )
        guide.next_step("pages/6_review.py", "Go to Review")
        return
    if study.test_openings:
        st.warning(
            f"Test patients have been opened before in this study ({study.test_openings} times): each choice "
            "made after looking makes the next figure more flattering than true.",
            icon=":material/lock_open:",
        )
    guide.next_step("pages/6_review.py", "Review it first")
    if st.button("Open test and build the bundle", icon=":material/inventory_2:", key="build"):
        with guide.sentences(), st.spinner("Measuring, writing and verifying…", show_time=True):
            build(study, cohort, chosen, path)
            st.rerun()


def show(finished: Finished, path: Path, cohort: Cohort, review: Review | None) -> None:
    dense, pruned = finished.dense, finished.pruned
    guide.opening(
        "Export",
        f"On **{cohort.test.told()}**, locked until now, the smaller model reaches an AUROC of "
        f"**{rate(pruned.performance.auroc)}** (original {rate(dense.performance.auroc)}), with "
        f"**{share(finished.candidate.sparsity)} of its {finished.granularity}s removed**.",
    )
    guide.warn_if_unknown(finished.candidate.model)
    if doubt := too_good(pruned.performance, cohort, finished.candidate.model.features):
        st.warning(guide.plain(doubt), icon=":material/report:")
    parent = finished.bundle.about["origin"]["parent"][:8]
    guide.download(
        "Download the bundle", lambda: finished.zip,
        name=f"medprune-bundle-{parent}.zip", mime="application/zip", kind="primary", key="download_bundle",
    )  # fmt: skip
    review_told(review)
    if review is not None:
        about_form.ask(session.study())
    guide.warn_if_few(cohort, cohort.test)
    guide.no_longer_needed(path.dense, finished.candidate, path.prices)
    st.markdown(
        f":material/verified: Loaded back and compared on made-up rows with missing values: PyTorch, the "
        f"files and onnxruntime differ by at most {finished.bundle.largest_difference:.1g} in any risk."
    )
    guide.tiles(
        [
            Tile(
                METRIC_NAMES[name],
                metric_text(name, pruned.performance[name]),
                change_text(name, pruned.performance[name] - dense.performance[name]),
            )
            for name in METRIC_NAMES
        ]
    )
    if len(cohort.classes) > BINARY:
        st.caption(SEVERAL)
    guide.table(compared(dense, pruned), key="test_patients")
    st.subheader("What is in the bundle")
    for name, about in (CONTENTS | ({} if review is None else OF_A_REVIEW)).items():
        st.markdown(f"- `{name}`: {about}")
    st.code("python predict.py PATIENTS.csv RISKS.csv", language="shell")
    smaller_still(finished, cohort)


def review_told(review: Review | None) -> None:
    """Whether anybody looked, and what they saw."""
    if review is None:
        st.warning(
            "Not reviewed: nobody has yet looked at what the smaller model does to groups of patients. "
            "Research use only.",
            icon=":material/pending:",
        )
        return
    given = review.override
    taken = "" if given is None else (
        f" Taken all the same by {plain(given.name)}, until {given.expires}: {plain(given.reason)}"
    )  # fmt: skip
    st.markdown(f"Reviewed: {MARKS[review.gate]}{taken}")
    st.caption("Not a clinical validation. Research use only.")


def smaller_still(finished: Finished, cohort: Cohort) -> None:
    """Int8, measured before it is offered."""
    st.subheader("Smaller still: int8")
    st.markdown(
        "Store 8-bit integers instead of 32-bit numbers. Whether that makes this network smaller or quicker, "
        "and whose decision it changes, is measured here before you take it."
    )
    way = st.radio("Int8 for", list(INT8), format_func=INT8.__getitem__, key="int8_way")
    if way not in finished.int8:
        if st.button("Quantise and measure", icon=":material/compress:", key="int8"):
            with guide.sentences(), st.spinner("Measuring on this machine…", show_time=True):
                finished.int8[way] = compression(finished.candidate.model, cohort, way)
                st.rerun()
        return
    measured = finished.int8[way]
    floor, flips = session.study().floor, measured.flips
    few = any(0 < count <= floor for count in (flips.total, *flips.lost, *flips.gained))
    guide.tiles(int8_tiles(measured, floor))
    st.markdown(FEW_FLIPS if few else guide.plain(measured.sentence()))
    runtime = measured.after.runtime_memory
    st.caption(
        "Times are medians after a warm-up, on one thread. Memory is the peak of a process that does nothing "
        "but load the file and predict 1,024 made-up patients"
        + ("." if runtime is None else f"; {runtime / MEGABYTE:,.1f} MB of it are onnxruntime's own.")
    )
    guide.download(
        "Download model.int8.onnx", lambda: measured.file,
        name="model.int8.onnx", kind="secondary", key="download_int8",
    )  # fmt: skip


def int8_tiles(measured: Compression, floor: int) -> list[Tile]:
    before, after, flips = measured.before, measured.after, measured.flips
    memory, change = "n/a", None
    if after.peak_memory is not None and before.peak_memory is not None:
        memory = f"{after.peak_memory / MEGABYTE:,.1f} MB"
        moved = f"{(after.peak_memory - before.peak_memory) / MEGABYTE:+,.1f} MB"
        change = guide.SAME if moved[1:] == "0.0 MB" else moved
    return [
        Tile("File", size_text(after.bytes), f"{after.bytes / before.bytes - 1:+.0%}"),
        Tile("Peak memory", memory, change),
        Tile("1 patient", f"{1e6 * after.one:,.0f} µs", f"{after.one / before.one - 1:+.0%}"),
        Tile("1,024 patients", f"{1e3 * after.many:,.2f} ms", f"{after.many / before.many - 1:+.0%}"),
        Tile(
            "Decisions that flip",
            safe_count(flips.total, floor),
            None if 0 < flips.total <= floor else f"{flips.per_1000:.1f} per 1,000",
        ),
        Tile(
            "AUROC (tuning)",
            rate(measured.auroc_after),
            change_text("auroc", measured.auroc_after - measured.auroc_before),
        ),
    ]


def compared(dense: Measured, pruned: Measured) -> pd.DataFrame:
    """Both models on test patients, side by side."""
    rows = [
        {
            "": title,
            "original": metric_text(name, dense.performance[name]),
            "smaller": metric_text(name, pruned.performance[name]),
        }
        for name, title in METRIC_NAMES.items()
    ]
    for name, text in (("parameters", "Parameters"), ("stored", "Stored"), ("features", "Features")):
        before, after = getattr(dense.size, name), getattr(pruned.size, name)
        rows.append({"": text, "original": f"{before:,}", "smaller": f"{after:,}"})
    rows.append(
        {"": "model.onnx", "original": size_text(dense.size.bytes), "smaller": size_text(pruned.size.bytes)}
    )
    return pd.DataFrame(rows)


study = session.study()
guide.needs_model(study, "Export")
if study.chosen is None or study.chosen_path is None:
    guide.opening("Export", "**No smaller model is chosen yet.**")
    st.info("Walk the path and take one of its finished models.", icon=":material/tune:")
    guide.next_step("pages/4_threshold.py", "Go to Threshold")
else:
    with guide.sentences():
        reviewing.collect(study)
        review = reviewing.current(study)
        if study.finished is not None and (review is None or reviewing.may_leave(review)):
            show(study.finished, study.chosen_path, study.cohort, review)
        elif review is not None:
            with_review(study, review)
        else:
            unreviewed(study, study.chosen, study.chosen_path, study.cohort)
