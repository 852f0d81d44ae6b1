"""Preference files in and out, in the forms of ``feedback.formats``.

``read`` gives clean records or a named error with file and line; with ``skip_bad`` the
bad lines are left out and counted. ``write`` writes nothing that ``read`` would refuse
or alter. Nothing is unpickled and nothing is downloaded.
"""

from workbench.feedback.reading import PreferenceFile, SkippedRecords, read
from workbench.feedback.records import (
    GroupRecord,
    Message,
    PreferenceRecord,
    ThumbRecord,
)
from workbench.feedback.writing import write

__all__ = [
    "GroupRecord",
    "Message",
    "PreferenceFile",
    "PreferenceRecord",
    "SkippedRecords",
    "ThumbRecord",
    "read",
    "write",
]
