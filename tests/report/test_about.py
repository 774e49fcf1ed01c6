"""What people say of a model: read from JSON, blank otherwise, one sentence for what it cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from medprune.errors import BadInput
from medprune.report import About, blank_about, questions, read_about


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "about.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_blank_form_reads_as_nothing_said(tmp_path: Path) -> None:
    assert read_about(written(tmp_path, blank_about())) == About()
    assert About().given == 0
    assert set(json.loads(blank_about())) == set(questions())
    assert all(question.endswith("?") for question in questions().values())


def test_answers_are_text_numbers_and_lists(tmp_path: Path) -> None:
    said = {"name": " Ward risk ", "version": 2, "sites": ["north", "south"], "dates": None}
    about = read_about(written(tmp_path, json.dumps(said)))
    assert (about.name, about.version, about.sites, about.dates) == ("Ward risk", "2", "north; south", "")
    assert about.given == 3


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"nmae": "x"}', "did you mean 'name'"),
        ('{"name": {"a": 1}}', "'name'"),
        ('{"name": true}', "takes text"),
        ('["name"]', "could not be read"),
        ('{"name": ', "could not be read"),
        (b"\xff\xfe", "could not be read"),
        ("[" * 100_000, "could not be read"),
        (json.dumps({"name": "x" * 20_001}), "20,001 characters"),
        (json.dumps({"name": "x" * 1_000_001}), "1 MB"),
    ],
)
def test_bad_files_give_one_sentence(tmp_path: Path, text: str | bytes, says: str) -> None:
    with pytest.raises(BadInput) as bad:
        read_about(written(tmp_path, text))
    assert says in bad.value.sentence
    assert "\n" not in bad.value.sentence


def test_a_missing_file_gives_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="could not be read"):
        read_about(tmp_path / "nobody.json")


def test_half_a_character_can_be_written(tmp_path: Path) -> None:
    about = read_about(written(tmp_path, '{"name": "a\\ud800b"}'))
    assert about.name.encode("utf-8") == b"a?b"
