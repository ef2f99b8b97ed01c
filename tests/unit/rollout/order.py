"""What a situation becomes when the policies stand in another order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import permutations

from modelrollout.api.status import Status
from modelrollout.rollout import decide
from modelrollout.rollout.decide import GROUPS, Policy
from modelrollout.rollout.notes import Note
from modelrollout.rollout.view import View
from tests.unit.rollout.world import Operator

Groups = Sequence[Sequence[Policy]]


def view_of(operator: Operator) -> View:
    world = operator.world
    world.moved_by(operator.status.taken)
    return View(world.effective, operator.status, world.observe(), world.now)


def outcome(view: View, groups: Groups = GROUPS) -> tuple[Status, frozenset[Note]]:
    """The status in which nothing is left to change, and what people read on the way."""
    after, notes = decide.settle(view, [policy for group in groups for policy in group])
    return after.status, frozenset(notes)


def swapped(group: int) -> Groups:
    """This group and the next in each other's place."""
    return (*GROUPS[:group], GROUPS[group + 1], GROUPS[group], *GROUPS[group + 2 :])


def situations_on_the_way(view: View) -> Iterator[View]:
    """The view, and what it becomes after each change."""
    while True:
        yield view
        change = next((change for policy in decide.POLICIES if (change := policy(view)) is not None), None)
        if change is None:
            return
        view = view.after(change)


def check_order_inside_groups(view: View) -> None:
    """Whichever policy of a group goes first, the outcome is the same."""
    for situation in situations_on_the_way(view):
        for place, group in enumerate(GROUPS):
            speakers = [policy for policy in group if policy(situation) is not None]
            for order in permutations(speakers) if len(speakers) > 1 else ():
                others = [policy for policy in group if policy not in order]
                groups = (*GROUPS[:place], (*order, *others), *GROUPS[place + 1 :])
                assert outcome(situation, groups) == outcome(situation), [each.__name__ for each in order]
