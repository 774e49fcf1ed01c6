"""What only the people behind a model can say: a form, a file to fill in, and how much is blank."""

from __future__ import annotations

import json
from dataclasses import asdict

import streamlit as st

from medprune.report import About, blank_about, questions
from medprune.report.about import LONGEST, about_of
from pages.shared import guide
from pages.shared.session import Study

GROUPS = {
    "Who": (
        "name", "version", "summary", "keywords", "release_date", "release_stage", "developer", "contact",
        "funding", "regulatory", "availability",
    ),
    "Use": (
        "output", "horizon", "intended_use", "users", "population", "how_to_use", "decision_role",
        "threshold_set_by",
    ),
    "Not for, and risks": (
        "out_of_scope", "warnings", "missing_input", "risk_level", "ethics", "limitations",
    ),
    "Patients": (
        "data_source", "eligibility", "dates", "sites", "demographics", "groups_defined", "sample_size",
        "consent",
    ),
    "Fairness": ("fairness_process", "bias_mitigation", "stakeholders"),
    "Testing and watching": (
        "validation_data", "external_validation", "tested_by", "monitoring", "drift_triggers", "maintenance",
    ),
    "To read": ("publications", "data_and_code", "bibliography"),
}  # fmt: skip
SHORT = ("name", "version", "keywords", "release_date", "release_stage", "developer", "contact", "funding",
         "horizon", "users", "dates", "sites", "tested_by")  # fmt: skip


def ask(study: Study) -> None:
    """The form and the file, behind a fold; what is sent off is kept, and a bundle built before is stale."""
    of, given = len(questions()), study.about.given
    with st.expander("What only you can say (printed in the card)", icon=":material/edit_note:"):
        st.markdown(
            f"**{of - given} of {of} are blank**, and stand in the card as “not provided”. No number can "
            "answer them. Leave blank what you do not know. A bundle that was built before is built again."
        )
        from_file(study)
        form(study)


def from_file(study: Study) -> None:
    """The answers as a file: to fill in elsewhere, and to bring back."""
    given = study.about.given
    guide.download(
        "These answers as JSON" if given else "Blank template as JSON",
        lambda: as_json(study.about).encode(), name="about.json", mime="application/json", key="about_file",
    )  # fmt: skip
    file = st.file_uploader(
        "Answers from a file (JSON)", type=["json"], key=f"about_upload_{study.abouts}", max_upload_size=1
    )
    if file is None:
        return
    with guide.sentences():
        keep(study, about_of(file.getvalue(), file.name))


def form(study: Study) -> None:
    """Every question, by what it is about."""
    known, now = questions(), asdict(study.about)
    asked = {}
    with st.form(f"about_{study.abouts}", border=False, enter_to_submit=False):
        for tab, names in zip(st.tabs(list(GROUPS)), GROUPS.values(), strict=True):
            with tab:
                for name in names:
                    asked[name] = field(known[name], now[name], name, f"about_{study.abouts}_{name}")
        if st.form_submit_button("Keep these answers", icon=":material/save:", key="about_keep"):
            keep(study, About(**{name: text.strip() for name, text in asked.items()}))


def field(question: str, now: str, name: str, key: str) -> str:
    """One line for what takes no more, unless more was said."""
    ask_for = st.text_input if name in SHORT and "\n" not in now else st.text_area
    return ask_for(question, now, max_chars=LONGEST, key=key, placeholder="not provided")


def keep(study: Study, about: About) -> None:
    """The answers from now on; the fields are filled in anew, and the bundle has to be built again."""
    study.abouts += 1
    if about != study.about:
        study.about, study.finished = about, None
    st.rerun()


def as_json(about: About) -> str:
    """The answers as a file that can be read again; blank, it is the template."""
    return json.dumps(asdict(about), indent=1, ensure_ascii=False) + "\n" if about.given else blank_about()
