"""Show library source, check a student's function, judge a paper's claim."""

from workbench.teach import check
from workbench.teach.claim import claim, claims_table
from workbench.teach.show import show

__all__ = ["check", "claim", "claims_table", "show"]
