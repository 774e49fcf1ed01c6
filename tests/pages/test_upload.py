"""One's own table on the page: looked at first, read again on request, accepted by its user."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from medprune.disclosure import FLOOR
from medprune.flow import measure
from pages.shared.guide import plain
from tests.hostile.case import CANARY
from tests.hostile.tables import csv, patients
from tests.hostile.workbooks import with_sheets, written
from tests.makers import followed_table
from tests.pages.test_pages import PAGES, go, healthy, texts, trained


def put(app: AppTest, data: bytes, name: str = "mine.csv") -> AppTest:
    return healthy(app.file_uploader[0].set_value((name, data, "text/csv")).run())


def preview(app: AppTest) -> list[str]:
    return list(app.dataframe[0].value.columns)


def test_an_upload_is_shown_before_it_is_used(app: AppTest) -> None:
    put(app, csv(patients(mrn=[f"M{k}" for k in range(60)])))
    study = app.session_state["study"]
    assert study.table is None
    assert "60 rows, 4 columns" in texts(app)
    assert preview(app) == ["age", "sex", "outcome", "mrn"]
    told = app.dataframe[1].value.set_index("column")
    assert told["suggested role"].to_dict() == {
        "age": "feature", "sex": "feature", "outcome": "outcome", "mrn": "patient",
    }  # fmt: skip
    assert app.selectbox(key="outcome_column").value == "outcome"


def test_the_field_lets_go_of_the_file_and_the_draft_goes_when_it_is_used(app: AppTest) -> None:
    put(app, csv(patients()))
    study = app.session_state["study"]
    draft = study.draft
    assert app.file_uploader[0].value is None
    assert not draft.file.closed
    healthy(app.button(key="use_table").click().run())
    assert study.draft is None
    assert draft.file.closed
    assert "60 rows and 2 features" in texts(app)


def test_decimal_marks_are_told_and_can_be_set_otherwise(app: AppTest) -> None:
    put(app, csv(patients().assign(age=["1,234", "2,345"] * 30), sep=";"))
    assert "separated by semicolons" in texts(app)
    assert app.dataframe[0].value["age"].tolist()[:2] == ["1.234", "2.345"]
    assert app.selectbox(key="decimal_1").options[0] == "comma (found out)"
    healthy(app.selectbox(key="decimal_1").set_value(".").run())
    assert app.dataframe[0].value["age"].tolist()[:2] == ["1234", "2345"]
    healthy(app.selectbox(key="decimal_1").set_value(None).run())
    assert app.dataframe[0].value["age"].tolist()[:2] == ["1.234", "2.345"]


def test_an_encoding_can_be_set_otherwise(app: AppTest) -> None:
    put(app, csv(patients(имя=1.5), encoding="cp1251"))
    assert "имя" not in preview(app)
    healthy(app.selectbox(key="encoding_1").set_value("cp1251").run())
    assert "имя" in preview(app)


def test_a_wrong_choice_is_a_sentence_and_can_be_taken_back(app: AppTest) -> None:
    put(app, csv(patients()))
    healthy(app.selectbox(key="encoding_1").set_value("utf-16").run())
    assert app.error
    assert not app.dataframe
    healthy(app.selectbox(key="encoding_1").set_value(None).run())
    assert not app.error
    assert preview(app) == ["age", "sex", "outcome"]


def test_a_sheet_is_chosen(app: AppTest) -> None:
    put(app, written(patients(), with_sheets("b", "c")), "mine.xlsx")
    assert "3 sheets" in app.error[0].value
    healthy(app.selectbox(key="sheet_1").set_value("Sheet").run())
    assert not app.error
    assert "60 rows, 3 columns" in texts(app)
    healthy(app.button(key="use_table").click().run())
    assert app.session_state["study"].table.name == "mine.xlsx"


def test_labels_of_the_outcome_are_mapped_in_plain_sight(app: AppTest) -> None:
    put(app, csv(patients(outcome=["yes", "no", "no"] * 20)))
    healthy(app.selectbox(key="positive_label").set_value("no").run())
    shown = app.dataframe[2].value.set_index("label")
    assert shown["becomes"].to_dict() == {"no": "what is predicted", "yes": "the rest"}
    assert shown["rows"].to_dict() == {"no": 40, "yes": 20}


def test_what_is_wrong_stays_on_the_page_until_another_file_comes(app: AppTest) -> None:
    put(app, f"a,a\n{CANARY},2\n".encode())
    assert "occurs more than once" in app.error[0].value
    assert CANARY not in texts(app)
    healthy(app.run())
    assert app.error
    put(app, csv(patients()))
    assert not app.error
    assert "60 rows, 3 columns" in texts(app)


@pytest.mark.parametrize("name", ["<img src=x onerror=alert(1)>.csv", "[x](http:h).csv", "a\u202evsc.csv"])
def test_a_file_name_is_no_markup(app: AppTest, name: str) -> None:
    put(app, csv(patients()), name)
    assert f"**{plain(name)}**: 60 rows" in texts(app)
    assert name not in texts(app).replace(plain(name), "")


def test_an_outcome_that_takes_time_is_read_at_its_horizon(app: AppTest) -> None:
    table = followed_table(120)
    early = int(((table["died"] == 0) & (table["days"] < 8)).sum())
    put(app, csv(table))
    healthy(app.selectbox(key="outcome_column").set_value("died").run())
    healthy(app.selectbox(key="time_column").set_value("days").run())
    app.button(key="use_table").click().run()
    assert "takes a column of follow" in app.error[0].value
    app.number_input(key="horizon").set_value(8.0).run()
    healthy(app.button(key="use_table").click().run())
    cohort = app.session_state["study"].cohort
    assert cohort.follow_up.early == early
    assert len(cohort.all()) == 120
    assert "unknown at 8" in texts(app)
    assert f"{early} (" in plain_words(app)
    app.session_state["study"].floor = FLOOR
    healthy(app.run())
    assert "they count 0, and the others stand for them" in plain_words(app)
    assert f"{early} (" not in plain_words(
        app
    )  # two in tuning are without the event: their counts are kept back


def plain_words(app: AppTest) -> str:
    return texts(app).replace("\\", "")


def test_every_page_works_with_censored_patients(app: AppTest) -> None:
    put(app, csv(followed_table(150)))
    healthy(app.selectbox(key="outcome_column").set_value("died").run())
    app.selectbox(key="time_column").set_value("days")
    app.number_input(key="horizon").set_value(8.0).run()
    healthy(app.button(key="use_table").click().run())
    trained(app)
    study = app.session_state["study"]
    measured = measure(study.model, study.cohort.tuning).performance
    assert f"{measured.auroc:.3f}" in plain_words(app)
    for page in PAGES[2:]:
        go(app, page)
        assert not app.error, page
