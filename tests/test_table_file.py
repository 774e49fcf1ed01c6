"""Reading tables: what is accepted, what is refused and with which sentence, and what a column means."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medprune.errors import BadInput, listed, nearest
from medprune.intake import table_shape
from medprune.intake.table_file import (
    NUMBER_MISSING,
    TEXT_MISSING,
    Feature,
    TableFile,
    read_table,
    read_with_notes,
    typed,
    typed_for,
)

SECRET = "Jane Doe MRN 12345"


def parquet(frame: pd.DataFrame) -> bytes:
    file = io.BytesIO()
    frame.to_parquet(file)
    return file.getvalue()


def refused(action: Callable[[], object]) -> str:
    """The sentence of a refusal: one sentence, and no patient in it."""
    with pytest.raises(BadInput) as error:
        action()
    sentence = str(error.value)
    assert sentence == error.value.sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert SECRET not in sentence
    return sentence


# ---- errors -------------------------------------------------------------------------------------


def test_nearest_finds_a_misspelling_in_any_case() -> None:
    assert nearest("OUTCOM", ["age", "outcome"]) == " (did you mean 'outcome'?)"
    assert nearest("zzz", ["age", "outcome"]) == ""
    assert nearest("x", []) == ""


def test_listed_counts_the_rest() -> None:
    assert listed([]) == ""
    assert listed(["a"]) == "'a'"
    assert listed(["a", "b"]) == "'a' and 'b'"
    assert listed("abcdefg") == "'a', 'b', 'c', 'd', 'e' and 2 more"


# ---- what is accepted ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"age,sex\n40,f\n50,m\n",
        b"\xef\xbb\xbfage,sex\r\n40,f\r\n50,m\r\n",
        b"age;sex\n40;f\n50;m\n",
        b"age\tsex\n40\tf\n50\tm",
        b"age|sex\n40|f\n50|m\n",
        b" age , sex\n\n40, f\n   \n50, m\n\n",
        b'"age","sex"\n"40","f"\n"50","m"\n',
        "age,sex\n40,f\n50,m\n".encode("utf-16"),
    ],
)
def test_csv_is_read_whatever_its_delimiter_and_encoding(data: bytes) -> None:
    frame = read_table(data, name="patients.csv")
    assert {name: frame[name].str.strip().tolist() for name in frame} == {
        "age": ["40", "50"],
        "sex": ["f", "m"],
    }


def test_every_cell_of_a_csv_is_still_text() -> None:
    frame = read_table(b"id,drug,x\n007,NA,1.0\n008,None,\n")
    assert frame.to_dict("list") == {"id": ["007", "008"], "drug": ["NA", "None"], "x": ["1.0", ""]}


def test_delimiters_in_quotes_and_newlines_in_cells_are_text() -> None:
    frame = read_table(b'note,x\n"a;b,c;d",1\n"two\nlines",2\n"a ""quoted"" word",3\n')
    assert frame["note"].tolist() == ["a;b,c;d", "two\nlines", 'a "quoted" word']


def test_decimal_commas_become_points_and_are_noted() -> None:
    data = b"hb;text;n\n13,5;1,5 mg;1\n12;2 mg;2\n;x;3\n"
    frame, notes = read_with_notes(data)
    assert frame["hb"].tolist() == ["13.5", "12", ""]
    assert frame["text"].tolist() == ["1,5 mg", "2 mg", "x"]
    assert notes == (
        "The columns of the file are separated by semicolons.",
        "Decimal commas were read as decimal points in 'hb'.",
    )


def test_windows_encoding_is_noted_and_utf8_is_not() -> None:
    text = "größe,x\n1,2\n"
    frame, notes = read_with_notes(text.encode("cp1252"))
    assert list(frame) == ["größe", "x"]
    assert "Windows-1252" in notes[0]
    assert read_with_notes(text.encode())[1] == ()


def test_a_table_that_begins_with_pk_is_no_zip_archive() -> None:
    assert list(read_table(b"PK,x\n1,2\n")) == ["PK", "x"]


def test_paths_uploads_and_data_frames_give_the_same(tmp_path: Path) -> None:
    frame = pd.DataFrame({"age": [40, 50], "sex": ["f", "m"]})
    (tmp_path / "p.csv").write_bytes(frame.to_csv(index=False).encode())
    (tmp_path / "p.parquet").write_bytes(parquet(frame))
    sources = (tmp_path / "p.csv", str(tmp_path / "p.parquet"), TableFile("p.parquet", parquet(frame)), frame)
    for source in sources:
        read = read_table(source)
        assert typed(read["age"], "age").values.tolist() == [40.0, 50.0]
        assert typed(read["sex"], "sex").values.tolist() == ["f", "m"]


def test_a_data_frame_is_not_changed_and_a_named_index_is_a_column() -> None:
    frame = pd.DataFrame({" age ": [40, 50]}, index=pd.Index(["a", "b"], name="who"))
    read = read_table(frame)
    assert list(read) == ["who", "age"]
    assert list(frame) == [" age "]
    assert list(read_table(parquet(frame))) == ["who", "age"]
    assert list(read_table(frame.rename_axis(None))) == ["age"]


def test_the_real_tables_have_the_documented_size(shared_data: Path) -> None:
    assert read_table(shared_data / "uci_heart_4sites.csv").shape == (920, 15)
    assert read_table(shared_data / "cardiotocography.csv").shape == (2126, 22)


# ---- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "'t.csv' is empty"),
        (b"\xef\xbb\xbf \n\n", "is empty"),
        (b"age,sex\n", "column names but no rows"),
        (b"age,sex,age\n1,2,3\n", "'age' occurs more than once"),
        (b"age, age \n1,2\n", "'age' occurs more than once"),
        (b",age\n1,2\n", "Column number 1 of 't.csv' has no name"),
        (b"age,sex,\n1,2,\n", "Column number 3"),
        (b",\n1,2\n", "no column names"),
        (b"a,b\n1,2\n3,4,Jane Doe MRN 12345\n", "Line 3 of 't.csv' has 3 values where the header has 2"),
        (b"a,b\n1,2\n\n3\n", "Line 4 of 't.csv' has 1 value where"),
        (b"a,b\n1,2,3\n4,5,6\n", "Line 2 of 't.csv' has 3 values"),
        (b'a,b\n"x\ny",2\n3\n', "Line 4 of 't.csv' has 1 value"),
        (b'a,b\n1,2\n"Jane Doe MRN 12345,2\n3,4\n', "from line 3 on"),
        (b"a,b\n1,\x00\n", "Line 2 of 't.csv' holds bytes that are not text"),
        (b"a,b\n\x81\x8d,1\n", "encoding of 't.csv' is not known"),
        (b"PK\x03\x04 xl/workbook.xml", "a damaged or incomplete workbook or archive"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "an old Excel workbook"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"  <html><body>", "a web page"),
        (b"<?xml version='1.0'?>", "an XML file"),
        (b'{"a": 1}', "a JSON file"),
        (b"%PDF-1.7", "a PDF document"),
        (b"\x89PNG\r\n", "a PNG picture"),
        (b"\xff\xd8\xff\xe0", "a JPEG picture"),
        (b"\x1f\x8b\x08", "a gzip archive"),
        (b"\x80\x04\x95abc.", "a Python pickle, which can run code and is never opened"),
        (b"PAR1 not really", "is a Parquet file, although its name ends in .csv"),
    ],
)
def test_what_is_no_table_is_refused_with_what_it_is(data: bytes, words: str) -> None:
    assert words in refused(lambda: read_table(data, name="t.csv"))
    assert words in refused(lambda: read_table(TableFile("t.csv", data)))


@pytest.mark.parametrize("address", ["https://example.org/t.csv", "s3://bucket/t.csv", "file:///etc/passwd"])
def test_a_web_address_is_never_opened(address: str) -> None:
    assert "not a web address" in refused(lambda: read_table(address))


def test_paths_that_cannot_be_read(tmp_path: Path) -> None:
    assert "There is no file" in refused(lambda: read_table(tmp_path / "none.csv"))
    assert "cannot be read" in refused(lambda: read_table(tmp_path))
    assert "cannot be read" in refused(lambda: read_table("a\0b.csv"))


def test_parquet_with_duplicate_names_lists_or_bytes_is_refused() -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    def written(columns: list[object], names: list[str]) -> bytes:
        file = io.BytesIO()
        pq.write_table(pa.table([pa.array(column) for column in columns], names=names), file)
        return file.getvalue()

    assert "'x' occurs more than once" in refused(lambda: read_table(written([[1], [2]], ["x", "x"])))
    assert "'x' of the table hold lists" in refused(lambda: read_table(written([[[1, 2]]], ["x"])))
    assert "binary" in refused(lambda: read_table(written([[b"x"]], ["x"])))
    assert "'t.parquet' is incomplete" in refused(lambda: read_table(b"PAR1 not really", name="t.parquet"))
    whole = parquet(pd.DataFrame({"x": range(100)}))
    for length in range(4, len(whole), 97):
        assert "incomplete or damaged" in refused(lambda cut=whole[:length]: read_table(cut))


def test_data_frames_that_are_no_table_are_refused() -> None:
    assert "no rows" in refused(lambda: read_table(pd.DataFrame({"a": []})))
    assert "no column names" in refused(lambda: read_table(pd.DataFrame()))
    assert "more than once" in refused(lambda: read_table(pd.DataFrame([[1, 2]], columns=["a", "a"])))
    deep = pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("a", "b")]))
    assert "several rows of names" in refused(lambda: read_table(deep))


def test_too_many_columns_or_cells_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_shape, "MOST_COLUMNS", 3)
    monkeypatch.setattr(table_shape, "MOST_CELLS", 6)
    frame = pd.DataFrame({"a": [1, 2, 3], "b": [1, 2, 3], "c": [1, 2, 3]})
    for source in (frame, parquet(frame), frame.to_csv(index=False).encode()):
        assert "over 6 cells" in refused(lambda source=source: read_table(source))
    assert "4 columns" in refused(lambda: read_table(b"a,b,c,d\n1,2,3,4\n"))


# ---- what a column means ------------------------------------------------------------------------


def column(*cells: object, **options: object) -> pd.Series:
    return pd.Series(list(cells), **options)


@pytest.mark.parametrize("token", sorted(NUMBER_MISSING))
def test_missing_tokens_among_numbers(token: str) -> None:
    read = typed(column("1", f" {token} ", "2.5"), "x")
    assert read.kind == "number"
    np.testing.assert_array_equal(read.values, [1.0, np.nan, 2.5])


@pytest.mark.parametrize("token", sorted(TEXT_MISSING))
def test_missing_tokens_among_text(token: str) -> None:
    assert typed(column("a", token, None, np.nan, pd.NA, pd.NaT, dtype=object), "x").values.tolist() == [
        "a",
        *[None] * 5,
    ]


def test_na_and_none_are_categories_among_text() -> None:
    read = typed(column("NA", "EU", "None", "-", "."), "region")
    assert read.kind == "category"
    assert read.values.tolist() == ["NA", "EU", "None", "-", "."]


@pytest.mark.parametrize(
    ("cells", "kind", "values"),
    [
        (column(True, False), "category", ["True", "False"]),
        (column(True, None, dtype="boolean"), "category", ["True", None]),
        (column("True", "False"), "category", ["True", "False"]),
        (column(1, None, dtype="Int64"), "number", [1.0, np.nan]),
        (column(" 007", "8 "), "number", [7.0, 8.0]),
        (column("1e3", "-.5", "+2."), "number", [1000.0, -0.5, 2.0]),
        (column(1, 2.0, "x", dtype=object), "category", ["1", "2", "x"]),
        (column("a ", None, dtype="category"), "category", ["a", None]),
        (column(3, 1, dtype="category"), "number", [3.0, 1.0]),
        (column("1_0", "2_0"), "category", ["1_0", "2_0"]),
        (column("0x1A", "0x1B"), "category", ["0x1A", "0x1B"]),
        (column(None, None), "number", [np.nan, np.nan]),
        (column("", ""), "number", [np.nan, np.nan]),
    ],
)
def test_kinds_and_values(cells: pd.Series, kind: str, values: list[object]) -> None:
    read = typed(cells, "x")
    assert read.kind == kind
    pd.testing.assert_series_equal(
        read.values, pd.Series(values, dtype="float64" if kind == "number" else object), check_names=False
    )


@pytest.mark.parametrize(
    "cells",
    [
        column("2020-01-31", "1999-12-01", ""),
        column("31/1/2020", "1/12/99"),
        column("31.01.2020", "01.12.1999"),
        column("2020-01-31 12:30", "2020-01-31T12:30:00"),
        pd.to_datetime(column("2020-01-31", None)),
        pd.to_datetime(column("2020-01-31")).dt.tz_localize("UTC"),
        column(date(2020, 1, 31), date(1999, 12, 1)),
        pd.to_timedelta(column(1, 2), unit="D"),
        column("2020-01").astype("period[M]"),
    ],
)
def test_dates_are_known_as_dates(cells: pd.Series) -> None:
    assert typed(cells, "x").kind == "date"


def test_dates_without_a_time_are_written_alike_from_csv_and_data_frames() -> None:
    frame = pd.DataFrame({"day": pd.to_datetime(["2020-01-31", None])})
    from_csv = typed(read_table(frame.assign(x=1).to_csv(index=False).encode())["day"], "day")
    assert typed(frame["day"], "day").values.tolist() == from_csv.values.tolist() == ["2020-01-31", None]


@pytest.mark.parametrize("cells", [["1", "inf", "-Infinity", "1e400"], [1.0, np.inf, -np.inf, np.inf]])
def test_infinite_values_count_as_missing(cells: list[object]) -> None:
    read = typed(column(*cells), "x")
    assert (read.kind, read.infinite) == ("number", 3)
    np.testing.assert_array_equal(read.values, [1.0, np.nan, np.nan, np.nan])


def test_text_in_a_numeric_column_is_refused_by_rows_not_by_text() -> None:
    cells = ["1", "2", SECRET, "4", "5", "<0.1", "7", "8", SECRET, "12 mmHg", ""]
    read = typed(column(*cells), "crp")
    assert read.kind == "category"
    assert refused(read.usable) == (
        "Column 'crp' is read as numbers, but 4 cells hold text (data rows 3, 6, 9 and more); "
        "correct or empty these cells, or leave the column out with --exclude 'crp'."
    )
    one = typed(column(*["1"] * 9, "x"), "crp")
    assert "1 cell holds text (data row 10)" in refused(one.usable)


@pytest.mark.parametrize("cells", [["1", "2", "3", "4", "a"], ["1"] * 5 + ["a"] * 6, ["a", "b"]])
def test_few_numbers_among_text_are_categories(cells: list[str]) -> None:
    assert typed(column(*cells), "x").usable().kind == "category"


cell = st.one_of(
    st.none(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(2**53), 2**53),
)
word = st.sampled_from(["a", "b c", "NA", "None", "-", "x,y", 'say "so"', "ä", "1 mg", "True"])


@given(st.lists(st.tuples(cell, word), min_size=1, max_size=20))
def test_a_patient_has_the_same_features_from_any_source(rows: list[tuple[object, str]]) -> None:
    numbers = pd.array([row[0] for row in rows], dtype="Float64")
    frame = pd.DataFrame({"number": numbers, "text": [row[1] for row in rows]})
    sources = (
        frame,
        parquet(frame),
        frame.to_csv(index=False).encode(),
        frame.to_csv(index=False, sep="\t").encode(),
    )
    features = (Feature("number", "number"), Feature("text", "category"))
    first, *others = (typed_for(read_table(source), features) for source in sources)
    assert first["number"].dtype == np.float64
    assert first["text"].dtype == object
    for other in others:
        pd.testing.assert_frame_equal(first, other, check_exact=True)


@given(st.lists(cell, min_size=1), st.lists(st.one_of(st.none(), st.text()), min_size=1))
def test_typing_twice_changes_nothing(numbers: list[object], texts: list[object]) -> None:
    for name, cells in (("x", pd.Series(numbers, dtype=object)), ("y", pd.Series(texts, dtype=object))):
        once = typed(cells, name)
        again = typed(once.values, name)
        if once.kind != "date" and not len(once.text_rows):
            assert again.kind == once.kind
            pd.testing.assert_series_equal(again.values, once.values)


# ---- prediction time ----------------------------------------------------------------------------


def test_typed_for_takes_exactly_the_features_in_their_order() -> None:
    frame = pd.DataFrame({"b": ["x", None], " a ": ["1", "?"], "more": [1, 2]}, index=[7, 7])
    read = typed_for(frame, (Feature("a", "number"), Feature("b", "category")))
    assert list(read) == ["a", "b"]
    assert read.index.tolist() == [7, 7]
    np.testing.assert_array_equal(read["a"], [1.0, np.nan])
    assert read["b"].tolist() == ["x", None]


def test_typed_for_reads_numbers_as_categories_without_a_point() -> None:
    features = (Feature("stage", "category"),)
    for cells in ([1, 2], [1.0, 2.0], ["1", "2"], pd.array([1, 2], dtype="Int64")):
        assert typed_for(pd.DataFrame({"stage": cells}), features)["stage"].tolist() == ["1", "2"]
    assert typed_for(pd.DataFrame({"stage": [1.0, np.nan]}), features)["stage"].tolist() == ["1", None]


def test_typed_for_accepts_no_rows_and_no_features() -> None:
    features = (Feature("a", "number"), Feature("b", "category"))
    assert typed_for(pd.DataFrame({"a": [], "b": []}), features).shape == (0, 2)
    assert typed_for(pd.DataFrame({"a": [1, 2]}), ()).shape == (2, 0)


def test_typed_for_names_every_missing_column_and_the_nearest_name() -> None:
    frame = pd.DataFrame({"Agee": [1], "sex": ["f"]})
    sentence = refused(lambda: typed_for(frame, (Feature("age", "number"), Feature("bmi", "number"))))
    assert "'age' and 'bmi'" in sentence
    assert "did you mean 'Agee'?" in sentence


def test_typed_for_refuses_text_in_numbers_and_a_name_that_occurs_twice() -> None:
    frame = pd.DataFrame({"age": ["1", SECRET]})
    assert refused(lambda: typed_for(frame, (Feature("age", "number"),))) == (
        "Column 'age' is read as numbers, but 1 cell holds text (data row 2); correct or empty these cells."
    )
    twice = pd.DataFrame([[1, 2]], columns=["age", " age"])
    assert "more than once" in refused(lambda: typed_for(twice, (Feature("age", "number"),)))
