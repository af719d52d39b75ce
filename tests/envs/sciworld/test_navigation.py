"""The navigation skills of ScienceWorld on histories written by hand: which actions count."""

import pytest

from eefcore.envs.sciworld.navigation import SKILLS
from eefcore.evaluation import navigation
from eefcore.types import History

HALL = (
    "Your task is to find a(n) plant. First, focus on the thing.\n"
    "This room is called the hallway. In it, you see: \n\tthe agent\n\ta picture\n"
    "You also see:\n\tA door to the kitchen (that is open)\n\tA door to the workshop (that is closed)"
)
KITCHEN = (
    "This room is called the kitchen. In it, you see: \n\tthe agent\n"
    "\ta cupboard. The cupboard door is closed. \n\ta fridge. The fridge door is closed. \n\ta substance called soap"
)
UNKNOWN = "No known action matches that input."
ASKED = (
    "Ambiguous request: Please enter the number for the action you intended (or blank to cancel):\n"
    "0:\tfocus on wood cup (in fridge, in kitchen)\n1:\tfocus on glass cup (in table, in kitchen)\n"
)


def moved(room):
    return f"go to {room}", f"You move to the {room}."


def history(*deeds, first=HALL):
    out = History("t", first)
    for action, answer in deeds:
        out = out.then(action, answer)
    return out


def found(skill, *deeds, first=HALL):
    return list(SKILLS[skill](history(*deeds, first=first)))


LOOK = ("look around", KITCHEN)
TAKE = ("pick up soap", "You move the soap to the inventory.")
SHUT = ("go to workshop", "The door is not open.")
OPENED_DOOR = ("open door to workshop", "The door is now open.")
OPENED = ("open cupboard", "The cupboard is now open.")
INSIDE = (
    "look in cupboard",
    "Inside the cupboard is: \n\ta ceramic cup (containing nothing)\n\ta drawer\n\ta tin cup (containing salt)",
)


@pytest.mark.parametrize(
    "deeds, uses",
    {
        "straight on": ([moved("kitchen"), moved("outside"), moved("foundry")], []),
        "back, nothing done": ([moved("kitchen"), moved("hallway")], [1]),
        "back, having looked and opened": ([moved("kitchen"), LOOK, OPENED, INSIDE, moved("hallway"), moved("workshop")], [4]),
        "back, having tried in vain": ([moved("kitchen"), ("focus on fern", UNKNOWN), moved("hallway")], [2]),
        "back with something": ([moved("kitchen"), TAKE, moved("hallway")], []),
        "back and straight in again": ([moved("kitchen"), moved("hallway"), moved("kitchen")], []),
        "again, but later": ([moved("kitchen"), moved("hallway"), moved("bedroom"), moved("hallway"), moved("kitchen")], [1, 3]),
        "two rooms deep": ([moved("kitchen"), moved("outside"), moved("kitchen"), moved("hallway")], [2, 3]),
        "a door in the way": ([moved("kitchen"), ("go to hallway", "The door is not open.")], []),
        "moving a thing is no walk": ([moved("kitchen"), ("move soap to hallway", "You move the soap to the hallway.")], []),
        "the first room is never left for where one came from": ([moved("kitchen")], []),
    }.values(),
)  # fmt: skip
def test_going_back_to_a_room_is_the_skill_return(deeds, uses):
    assert found("Return", *deeds) == uses


FERN = ("focus on fern", "You focus on the fern.")


@pytest.mark.parametrize(
    "deeds, uses",
    {
        "at once": ([FERN], []),
        "not there, then there": ([("focus on fern", UNKNOWN), moved("outside"), FERN], [2]),
        "asked which": ([("focus on cup", ASKED), ("1", "You focus on the glass cup.")], [1]),
        "asked which, and said by its name": ([("focus on cup", ASKED), ("focus on glass cup", "Unknown action.  Type 'help'"), ("focus on glass cup", "You focus on the glass cup.")], [2]),
        "a second thing, found at once": ([("focus on fern", UNKNOWN), FERN, ("focus on pot", "You focus on the pot.")], [1]),
        "never found": ([("focus on fern", UNKNOWN), LOOK, ("focus on fern", UNKNOWN)], []),
        "another action failed": ([("pick up fern", UNKNOWN), FERN], []),
        "in words": ([("Thought: it is here. Action: focus on fern", UNKNOWN), ("Thought: now. Action: Focus on fern", FERN[1])], [1]),
    }.values(),
)  # fmt: skip
def test_focusing_again_is_the_skill_refocus(deeds, uses):
    assert found("Refocus", *deeds) == uses


@pytest.mark.parametrize(
    "deeds, uses",
    {
        "a door on the way": ([OPENED_DOOR, moved("workshop")], []),
        "a door walked into": ([SHUT, OPENED_DOOR, moved("workshop")], [1]),
        "a door walked into, and left shut": ([SHUT, moved("kitchen")], []),
        "a door walked into, and not walked through": ([SHUT, OPENED_DOOR, LOOK], []),
        "looked into, and something taken": ([OPENED, INSIDE, ("pick up tin cup", "You move the tin cup to the inventory.")], [0]),
        "looked into, and taken by a shorter name": ([OPENED, INSIDE, ("pick up cup", "You move the ceramic cup to the inventory.")], [0]),
        "what is in what is in it": ([OPENED, INSIDE, ("use salt on agent", "You use the salt.")], [0]),
        "looked into, and something else taken": ([OPENED, INSIDE, TAKE], []),
        "looked into, and what is there not to be had": ([OPENED, INSIDE, ("pick up drawer", "The drawer is not moveable.")], []),
        "put into": ([("open fridge", "The fridge is now open."), ("move soap to fridge", "You move the soap to the fridge.")], [0]),
        "refused, opened, put into": ([("move soap to fridge", "That can't be moved there, because the fridge isn't open."), ("open fridge", "The fridge is now open."), ("move soap to fridge", "You move the soap to the fridge.")], [1]),
        "only looked into": ([OPENED, INSIDE, ("close cupboard", "The cupboard is now closed.")], []),
        "seen by looking around": ([("open fridge", "The fridge is now open."), ("look around", KITCHEN + "\n\ta fridge. The fridge door is open. In the fridge is: a wood cup (containing orange juice)."), ("pick up wood cup", "You move the wood cup to the inventory.")], [0]),
        "open before": ([("open fridge", "The fridge is already open."), ("move soap to fridge", "You move the soap to the fridge.")], []),
        "used in another room": ([OPENED, INSIDE, moved("hallway"), ("pick up tin cup", "You move the tin cup to the inventory.")], []),
        "chosen by number": ([("open", "Ambiguous request: Please enter the number:\n0:\topen cupboard (in kitchen)\n1:\topen fridge (in kitchen)\n"), ("0", "The cupboard is now open."), ("move soap to cupboard", "You move the soap to the cupboard.")], [1]),
    }.values(),
)  # fmt: skip
def test_opening_what_is_then_used_is_the_skill_open(deeds, uses):
    assert found("Open", *deeds, first=KITCHEN) == uses


def test_each_action_can_be_asked_what_it_uses():
    told = history(SHUT, OPENED_DOOR, moved("workshop"), moved("hallway"), moved("kitchen"))
    assert navigation.skills_by_action(told, SKILLS) == [(), ("Open",), (), ("Return",), ()]


def test_skills_of_the_past_are_not_changed_by_what_follows_but_for_going_back_in():
    """An opening counts once it is of use, a return until it is undone."""
    told = history(
        moved("kitchen"), OPENED, INSIDE, ("pick up tin cup", "You move the tin cup to the inventory.")
    )
    assert [list(SKILLS["Open"](told.at(i))) for i in range(5)] == [[], [], [], [], [1]]
    back = history(moved("kitchen"), moved("hallway"), moved("kitchen"))
    assert [list(SKILLS["Return"](back.at(i))) for i in range(4)] == [[], [], [1], []]


@pytest.mark.parametrize("name", SKILLS)
@pytest.mark.parametrize("first", [HALL, "", "This room is called"])
@pytest.mark.parametrize("text", ["", "7", "[", "(", "0", "look in ("])
def test_any_history_is_read(name, first, text):
    assert found(name, first=first) == []
    assert found(name, (text, text), ("3", f"3:\t{text}"), ("3", ASKED), first=first) == []
