"""The table of statuses, every pair of it."""

import pytest

from transcode.errors import Conflict
from transcode.states import NEXT, OVER, Status, check

ALLOWED = {
    ("pending", "processing"), ("pending", "cancelled"),
    ("processing", "pending"), ("processing", "processing"), ("processing", "completed"),
    ("processing", "failed"), ("processing", "cancelled"),
    ("failed", "pending"), ("cancelled", "pending"),
}  # fmt: skip
PAIRS = [(old, new) for old in Status for new in Status]


@pytest.mark.parametrize(("old", "new"), [p for p in PAIRS if p in ALLOWED])
def test_an_allowed_step_passes(old: Status, new: Status) -> None:
    check(old, new)


@pytest.mark.parametrize(("old", "new"), [p for p in PAIRS if p not in ALLOWED])
def test_any_other_step_is_refused_with_both_names(old: Status, new: Status) -> None:
    with pytest.raises(Conflict, match=f"The task is {old}; .*not {new}"):
        check(old, new)


def test_every_status_has_its_row() -> None:
    assert set(NEXT) == set(Status)
    assert len(PAIRS) == 25


def test_what_is_over_moves_by_a_persons_wish_only() -> None:
    assert {s for s in Status if NEXT[s] <= {Status.PENDING}} == OVER


def test_completed_is_final() -> None:
    with pytest.raises(Conflict, match="nothing else"):
        check(Status.COMPLETED, Status.PENDING)
