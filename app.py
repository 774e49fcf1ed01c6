"""The frame: title, navigation over pages/, and the study in the sidebar. Every page answers one question."""

import streamlit as st

from pages.shared import guide, session

PAGES = (
    ("pages/1_patients.py", "Patients", ":material/groups:", "patients"),
    ("pages/2_model.py", "Model", ":material/hub:", "model"),
    ("pages/3_contributions.py", "Contributions", ":material/bar_chart:", "contributions"),
    ("pages/4_threshold.py", "Threshold", ":material/tune:", "threshold"),
    ("pages/7_export.py", "Export", ":material/inventory_2:", "export"),
)

st.set_page_config(page_title="MedPrune", page_icon=":material/content_cut:", layout="wide")
page = st.navigation(
    [
        st.Page(path, title=title, icon=icon, url_path=url, default=url == "patients")
        for path, title, icon, url in PAGES
    ]
)
guide.sidebar(session.study())
page.run()
