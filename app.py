"""The frame: title, navigation over pages/, and the study in the sidebar. Every page answers one question."""

from pathlib import Path

import streamlit as st
import torch

from pages.shared import guide, logs, session

logs.keep_values_out()

torch.set_num_threads(1)  # many sessions share few cores; small networks gain nothing from a second thread

ASSETS = Path(__file__).parent / "assets"
PAGES = (
    ("pages/1_patients.py", "Patients", ":material/groups:", "patients"),
    ("pages/2_model.py", "Model", ":material/hub:", "model"),
    ("pages/3_contributions.py", "Contributions", ":material/bar_chart:", "contributions"),
    ("pages/4_threshold.py", "Threshold", ":material/tune:", "threshold"),
    ("pages/5_strategies.py", "Strategies", ":material/compare_arrows:", "strategies"),
    ("pages/6_review.py", "Review", ":material/fact_check:", "review"),
    ("pages/7_export.py", "Export", ":material/inventory_2:", "export"),
)

# A picture of our own: a :material: icon here would be fetched from the internet.
st.set_page_config(
    page_title="MedPrune",
    page_icon=str(ASSETS / "icon.svg"),
    layout="wide",
    menu_items={"About": "MedPrune. Research use; not a medical device. The data stays on this machine."},
)
st.logo(str(ASSETS / "logo.svg"), size="large")
page = st.navigation(
    [
        st.Page(path, title=title, icon=icon, url_path=url, default=url == "patients")
        for path, title, icon, url in PAGES
    ]
)
with guide.boundary():
    guide.only_if_safe()
    session.enter()
    session.study().visit(page.url_path)
    guide.sidebar(session.study())
    page.run()
