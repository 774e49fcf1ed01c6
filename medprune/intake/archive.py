"""A zip archive that comes from outside, looked at before anything in it is read.

Only its table of contents is trusted, and only as far as it is checked here: a member can then give no
more bytes than it announces, because :mod:`zipfile` stops there.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import PurePosixPath

from medprune.errors import BadInput

MOST_MEMBERS = 5_000
MOST_BYTES = 500 * 1024**2  # of all members together, unpacked
MOST_TIMES = 100  # larger than packed: numbers that were learnt hardly shrink, a bomb of zeros does
SMALL = 1024**2  # a member below this may shrink as it likes
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
ENCRYPTED = 0x1  # in a member's flags


@dataclass(frozen=True)
class Archive:
    """A checked archive: what it is called in a sentence, and its members by name."""

    title: str
    zip: zipfile.ZipFile
    members: dict[str, zipfile.ZipInfo]

    def read(self, name: str, most: int = MOST_BYTES) -> bytes:
        """A member's bytes; BadInput when it is damaged, or larger than ``most``."""
        if self.members[name].file_size > most:
            raise BadInput(
                f"{self.title}: its part {name!r} is too large to be read; export the model again."
            )
        try:
            return self.zip.read(self.members[name])
        except Exception as error:  # zipfile and its decompressors raise many kinds
            raise BadInput(f"{self.title} is a damaged archive; copy or upload it again.") from error


def names_of(data: bytes) -> list[str] | None:
    """The names in a zip archive, to tell what kind of file it is; None when it cannot be opened."""
    try:
        return zipfile.ZipFile(io.BytesIO(data)).namelist()
    except Exception:  # as above
        return None


def checked(data: bytes, title: str) -> Archive:
    """The archive, when nothing about its table of contents is odd. Raises BadInput."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        members = archive.infolist()
    except Exception as error:  # as above
        raise BadInput(f"{title} is an incomplete archive; copy or upload it again.") from error
    if len(members) > MOST_MEMBERS:
        raise BadInput(
            f"{title} is an archive of {len(members):,} parts; a model has at most {MOST_MEMBERS:,}."
        )
    names = {member.filename.lower() for member in members}
    if len(names) < len(members):
        raise BadInput(f"{title} is an archive with two parts of one name; export the model again.")
    for member in members:
        _check_member(member, title)
    total = sum(member.file_size for member in members)
    if total > MOST_BYTES:
        raise BadInput(
            f"{title} would unpack to {total / 1024**2:,.0f} MB, more than the "
            f"{MOST_BYTES // 1024**2} MB that "
            "a model may take; export a smaller model."
        )
    return Archive(title, archive, {member.filename: member for member in members})


def _check_member(member: zipfile.ZipInfo, title: str) -> None:
    path = PurePosixPath(member.filename.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in member.filename or "\0" in member.orig_filename:
        raise BadInput(f"{title} is an archive whose parts point out of it; export the model again.")
    if member.flag_bits & ENCRYPTED or member.compress_type not in METHODS:
        raise BadInput(f"{title} is an encrypted or oddly packed archive; export the model again.")
    if member.file_size > max(SMALL, MOST_TIMES * member.compress_size):
        raise BadInput(
            f"{title} is packed more than {MOST_TIMES} times smaller than what it holds, as no model is; "
            "export the model again, without compression."
        )
