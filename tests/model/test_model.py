"""The real protocol under seeded faults: nothing is lost, nothing ends twice, nothing hangs.

And the proof that the oracle sees: every guard taken out of the real code is noticed.
"""

import os
from collections import Counter
from dataclasses import replace

import pytest

from tests.model.__main__ import outcomes
from tests.model.chances import CALM, USUAL
from tests.model.mutations import MUTATIONS
from tests.model.play import Outcome, play

# Faults that a guard is there for, made frequent, so that few seeds suffice.
OFTEN = {
    "silence": replace(USUAL, silent=0.08, cut=0.9, freeze_critical=0.02),
    "pauses": replace(USUAL, freeze_critical=0.30),
    "cancels": replace(USUAL, meddle=0.9, throttled=0.04, sigterm=0.004),
    "deaths": replace(USUAL, kill=0.004),
    "purges": replace(USUAL, purge=0.5, silent=0.05),
    "pauses only": replace(CALM, freeze_critical=0.08),
    "late cancels": replace(CALM, meddle=0.5, freeze_critical=0.05),
    "calm": CALM,
}
# Mutation -> the invariant that notices it, and under which faults.
NOTICED = {
    "no_fence": ("I2 I3", "pauses"),
    "publish_although_refused": ("I4", "pauses"),
    "visible_before_commit": ("I4", "calm"),
    "reclaim_publishing": ("I3", "pauses"),
    "no_roll_forward": ("I6", "deaths"),
    "no_resend": ("I6", "deaths"),
    "no_rescue": ("I6", "deaths"),
    "blind_cancel": ("I2 I3 I11", "cancels"),
    "commit_ignores_cancel": ("I8", "cancels"),
    "unknown_is_failure": ("I5 I6", "silence"),
    "rescue_resets_attempts": ("I7", "deaths"),
    "random_id": ("I10", "deaths"),
    "no_lease_check": ("I3", "pauses"),
    "forget_cancel": ("I8", "cancels"),
    "failure_hides_cancel": ("I8", "cancels"),
    "older_replaces_newer": ("I4 I6", "pauses only"),
    "leave_without_looking": ("I6", "pauses"),
    "early_attempt": ("I6", "silence"),
    "epoch_starts_again": ("I3", "cancels"),
    "same_epoch": ("I3", "calm"),
    "retry_in_the_same_generation": ("I2", "cancels"),
    "nothing_counts": ("I7", "silence"),
    "cards_never_count": ("I7", "calm"),
    "plan_after_commit": ("I5", "calm"),
    "parts_left": ("I11", "pauses"),
    "close_before_visible": ("I5", "calm"),
    "no_heartbeat": ("I7", "calm"),
    "early_message_is_eaten": ("I6", "silence"),
    "ends_in_silence": ("I13", "calm"),
    "unsent_is_forgotten": ("I13", "silence"),
    # What the simulation found in the real code, put back.
    "wish_without_attempt": ("I8", "cancels"),
    "folder_of_the_task": ("I9 I11", "pauses"),
    "abort_without_id": ("I0", "late cancels"),
    "purge_forgets_failures": ("I8", "purges"),
    "sending_is_an_update": ("I8", "purges"),
}
# Seeds until a mutation must have been noticed; nearly all need fewer than five.
ENOUGH = 150


def broken(found: list[Outcome]) -> dict[int, str]:
    """Seed and violation of the runs in which an invariant broke."""
    return {outcome.seed: outcome.violation for outcome in found if outcome.violation}


@pytest.mark.parametrize("first", range(0, 80, 20))
def test_no_invariant_breaks_whatever_fails(first: int) -> None:
    found = [play(seed) for seed in range(first, first + 20)]
    assert broken(found) == {}
    seen = sum((outcome.stats for outcome in found), Counter[str]())
    assert {"kill", "freeze", "silent", "late", "lost", "throttled", "duplicate", "sigterm"} <= seen.keys()
    assert min(seen["ended completed"], seen["ended failed"], seen["ended cancelled"]) > 10
    assert seen["two attempts alive at once"] > 10


@pytest.mark.parametrize("pressure", sorted(OFTEN.keys() - {"calm"}))
def test_no_invariant_breaks_when_one_fault_is_frequent(pressure: str) -> None:
    assert broken([play(seed, chances=OFTEN[pressure]) for seed in range(8)]) == {}


def test_without_faults_a_good_file_takes_one_attempt_and_nothing_is_left() -> None:
    found = [play(seed, chances=CALM) for seed in range(8)]
    assert broken(found) == {}
    assert not [name for outcome in found for name in outcome.stats if name.startswith("parts left")]


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_guard_taken_out_is_noticed(mutation: str) -> None:
    invariants, pressure = NOTICED[mutation]
    assert noticed([mutation], pressure) in invariants.split()


def noticed(mutations: list[str], pressure: str) -> str:
    """The invariant that breaks first, over as many seeds as it takes."""
    for seed in range(ENOUGH):
        outcome = play(seed, mutations, chances=OFTEN[pressure])
        if outcome.violation:
            return outcome.violation.split()[0]
    return "none"


def test_the_same_seed_is_the_same_run() -> None:
    first, second = play(7, tell=True), play(7, tell=True)
    assert first.story == second.story
    assert len(first.story) > 1000


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_no_invariant_breaks_in_two_thousand_runs() -> None:
    assert broken(outcomes(range(2000), play, os.cpu_count() or 1)) == {}
