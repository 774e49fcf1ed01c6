"""Review: what the smaller model does to patients, held against limits that were set before looking."""

import numpy as np
import streamlit as st

from medprune.disclosure import safe_count
from medprune.markup import seen
from medprune.review import Review
from pages.shared import depth as reading
from pages.shared import group_columns, guide, limit_form, review_groups, review_sites, reviewing, session
from pages.shared import review_found as found
from pages.shared import review_patients as patients
from pages.shared.guide import PLURAL, plain, share
from pages.shared.session import Reviewed, Study


def nobody_yet() -> None:
    """No candidate: what to do next."""
    guide.opening("Review", "**There is no smaller model to review yet.** Take one first.")
    st.info("Walk the path on Threshold, or run a method on Strategies, and take one of its models.",
            icon=":material/tune:")  # fmt: skip
    with st.container(horizontal=True):
        guide.next_step("pages/4_threshold.py", "Go to Threshold")
        if st.button("Go to Strategies", icon=":material/compare_arrows:", key="review_to_strategies"):
            st.switch_page("pages/5_strategies.py")


def before(study: Study) -> None:
    """Limits first, patients after: the form, or what was locked, and the one button."""
    chosen, path = study.chosen, study.chosen_path
    guide.opening(
        "Review",
        f"What would a model without **{share(chosen.sparsity)} of its {PLURAL[path.granularity]}** do to "
        f"patients? The **{study.cohort.test.told()}** can tell. First say what may be lost.",
    )
    guide.warn_if_unknown(chosen.model)
    key = f"limits_{study.cohort.table_hash[:8]}"
    ready = True
    if study.locked is None:
        at = limit_form.act_at(study, key)
        ready = set_limits(study, at, key)
        st.caption(
            ":material/lock: All of this is kept, with its hash and the time, before the first test patient "
            "is opened. It can be loosened afterwards, but that is told and fails the gate."
        )
    else:
        at = limit_form.act_at(study, key)
        limit_form.loosened(study)
        limit_form.locked(study)
        looks(study, at)
    too_few(study)
    effort(study)
    foretold(study, at)
    label = "Open the test patients and review"
    if st.button(label, type="primary", icon=":material/fact_check:", key="review", disabled=not ready):
        with guide.sentences(), st.spinner("Writing the files and opening test…"):
            if at != study.model.act_at:
                study.use_act_at(at)
            reviewing.start(study)
            st.rerun()


def set_limits(study: Study, at: float, key: str) -> bool:
    """The form; whether what it says can be."""
    with guide.sentences():
        study.limits = limit_form.ask(study, study.limits, at, key)
        study.subgroups = limit_form.groups(study, key)
        return True
    return False


def too_few(study: Study) -> None:
    """Said before anybody is opened: so few patients can answer no question, however well the model does."""
    test, classes = study.cohort.test, len(study.cohort.classes)
    counts = np.bincount(test.outcome[test.known], minlength=classes)
    least, needed = int(counts.min()), study.limits.assessable
    if least < needed:
        st.info(
            f"Of one class there are {safe_count(least, study.floor)} test patients, fewer than the "
            f"{needed:,} that are needed: check G0 will be “not assessable”, which is no pass. The folds "
            "below look at the other patients.",
            icon=":material/groups:",
        )
    else:
        guide.warn_if_few(study.cohort, study.cohort.test)


def effort(study: Study) -> None:
    """How much is trained anew for the review."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        same = {"persist_state": "session", "width": 250}
        study.refits = int(
            st.number_input(
                "Retrainings of the original", 0, 200, study.refits, key="review_refits",
                help="What changes between them would change without pruning too.", **same,
            )
        )  # fmt: skip
        study.folds = int(
            st.number_input(
                "Folds, where test patients are few", 0, 20, study.folds, key="review_folds",
                help="Trains and prunes anew in every fold, and looks at all patients who were held out; 0: "
                "does not. Test patients stay out of it.", **same,
            )
        )  # fmt: skip
        sites = group_columns.sites(study)
        if sites and reviewing.can_leave_out_sites(study):
            study.site = st.selectbox(
                "Leave out each site of", sites, None if study.site is None else sites.index(study.site),
                key=f"review_site_{study.cohort.table_hash[:8]}", placeholder="no column", format_func=seen,
                help="Repeats training and pruning with each site left out, on train and tuning patients; "
                "takes minutes. Test patients stay out of it.", **same,
            )  # fmt: skip


def looks(study: Study, at: float) -> None:
    """How often test patients were opened, and what opening them again means."""
    again = reviewing.name_of(study.chosen.model) in study.opened_for
    models = "1 model has" if study.test_openings == 1 else f"{study.test_openings} models have"
    said = f"{models} been scored on these test patients. "
    said += (
        "This is one of them: reviewing it again is no further look."
        if again
        else "This is another one, and counts: each choice made after looking makes the next figure more "
        "flattering than true."
    )
    if at != study.locked.act_at:
        said += f" The limits were set for acting on {study.locked.act_at:.1%}; another risk is told in G0."
    st.warning(said, icon=":material/lock_open:")


def foretold(study: Study, at: float) -> None:
    """From tuning patients alone, who is likely to change."""
    forecast = reviewing.foretell(study, at)
    if forecast is not None:
        acted_on = study.chosen_path.dense.tuning_risks[:, 1] >= at
        if acted_on.all() or not acted_on.any():
            whom = "everybody" if acted_on.all() else "nobody"
            st.warning(
                f"Acting on a risk of {at:.1%} would act on {whom} among tuning patients, so hardly any "
                "decision can change. Take the risk from which you would act.",
                icon=":material/tune:",
            )
        with st.expander("Who is likely to change? Told by tuning patients", icon=":material/search:"):
            st.markdown(patients.forecast_told(forecast, "tuning patients", study.floor))
            st.caption("Nobody is opened for it. People who are near the line change first.")


@st.fragment(run_every=1.0)
def at_work(study: Study, review: Reviewed) -> None:
    """How far the review is; the page is drawn again when it is done."""
    if review.job.state not in ("waiting", "running"):
        st.rerun()
    events = review.job.events()
    last = events[-1] if events else {"number": 0, "of": 1, "doing": "Waiting for a free process"}
    st.progress(last["number"] / max(last["of"], 1), f"{last['doing']}: {review.job.seconds:.0f} s")
    st.caption("It runs in a process of its own: you can go on meanwhile, and come back.")
    if st.button("Stop", icon=":material/stop_circle:", key="stop_review"):
        study.jobs.stop()
        st.rerun()


def failed(study: Study, review: Reviewed) -> None:
    guide.opening("Review", "**The review ended without a result.**")
    st.warning(plain(review.job.trouble()), icon=":material/error:")
    if st.button("Start it again", type="primary", key="review_again"):
        reviewing.forget_failed(study)
        st.rerun()


def agreed(study: Study, review: Review) -> None:
    """Whether somebody has agreed that the removed tests need not be taken."""
    if not review.removed:
        return
    key = f"agreed_{reviewing.name_of(study.chosen.model)[:8]}"
    said = st.checkbox("Agreed: these tests need not be taken", bool(review.confirmed), key=key)
    if said != bool(review.confirmed):
        reviewing.agree(study, review.removed if said else ())
        st.rerun()


def show(study: Study, review: Review) -> None:
    """The answer first, then the detail."""
    decides = f"acting on a risk of {review.act_at:.1%} or more"
    if not review.is_binary:
        decides = (
            f"each put in the class of the largest risk; worth is counted at {review.act_at:.1%} or more"
        )
    guide.opening("Review", f"What the smaller model does to the **{study.cohort.test.told()}**, {decides}.")
    depth, floor = reading.ask(), study.floor
    limit_form.loosened(study)
    guide.warn_if_unknown(review.pruned_model)
    found.answer(review, floor)
    found.tiles(review, depth, floor)
    agreed(study, review)
    guide.next_step("pages/7_export.py", "Next: export")
    found.checks(review, depth, floor)
    limit_form.locked(study)
    st.subheader(reading.say("pictures", depth))
    klass = found.klass_of(review)
    found.pictures(review, klass, depth, floor)
    if depth == reading.SCIENTIST:
        found.figures(review, klass)
    found.pairs(review)
    found.beside(review, klass, depth)
    review_groups.show(review, klass, depth, floor)
    review_groups.at_risk(review, depth, floor)
    review_sites.show(review, depth, floor)
    found.recalibration(review, klass, depth, floor)
    patients.other_thresholds(review, klass, depth, floor)
    patients.forecast_after(review, depth, floor)
    patients.changed(review, depth, floor)
    patients.one_patient(review, klass, depth, floor)


study = session.study()
guide.needs_model(study, "Review")
if study.chosen is None or study.chosen_path is None:
    nobody_yet()
else:
    reviewing.collect(study)
    now = reviewing.reviewed(study)
    with guide.sentences():
        if now is None:
            before(study)
        elif now.review is not None:
            show(study, reviewing.current(study))
        elif now.job.state in ("failed", "stopped"):
            failed(study, now)
        else:
            guide.opening("Review", "The test patients are open. **Both models are being looked at.**")
            at_work(study, now)
