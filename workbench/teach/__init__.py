"""Show library source, check a student's work, keep predictions, judge claims."""

from workbench.teach import check
from workbench.teach.achieved import progress
from workbench.teach.claim import claim, claims_table
from workbench.teach.exercise import answer, hint, solution
from workbench.teach.predict import predict, reveal
from workbench.teach.questions import quiz
from workbench.teach.show import show

__all__ = [
    "answer",
    "check",
    "claim",
    "claims_table",
    "hint",
    "predict",
    "progress",
    "quiz",
    "reveal",
    "show",
    "solution",
]
