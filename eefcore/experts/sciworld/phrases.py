"""The phrases that observations and actions of ScienceWorld repeat; each is one token of a tiny base (`policies.tiny`).

The house is furnished alike in every task. No phrase ends in the space before a name, so that a name is the same tokens
in a listing, in a thought and in an action.
"""

from __future__ import annotations

from eefcore.experts.sciworld.scene import HOUSE

_HEADS = tuple(
    f"This room is called the {room}. In it, you see: \n\tthe agent\n\ta substance called air\n"
    for room in HOUSE
    if room != "outside"
)
_OUTSIDE = "This outside location is called the outside. Here you see: \n\tthe agent\n\ta substance called air\n\tan axe\n"
_DOORS = tuple(f"\tA door to the {room} (that is {how})" for room in HOUSE for how in ("closed", "open"))
_FURNITURE = tuple(
    f"\t{line}\n"
    for line in (
        "a bathtub, which is turned off. In the bathtub is: nothing.",
        "a bed. On the bed is: a mattress. On the mattress is: a white pillow..",
        "a bee hive. The bee hive door is closed. ",
        "a blast furnace, which is turned off. The blast furnace door is closed. ",
        "a chair. On the chair is: nothing.",
        "a closet. The closet door is closed. ",
        "a couch. On the couch is: a white pillow.",
        "a counter. On the counter is: a bowl (containing a red apple, a banana, an orange, a potato), a drawer.",
        "a cupboard. The cupboard door is closed. ",
        "a desk. On the desk is: a drawer.",
        "a fire pit (containing nothing)",
        "a fountain (containing a substance called water)",
        "a freezer. The freezer door is closed. ",
        "a fridge. The fridge door is closed. ",
        "a glass jar (containing a substance called sodium chloride)",
        "a large cupboard. The large cupboard door is closed. ",
        "a oven, which is turned off. The oven door is closed. ",
        "a sink, which is turned off. In the sink is: nothing.",
        "a stopwatch, which is deactivated. ",
        "a stove, which is turned off. On the stove is: nothing.",
        "a substance called soap",
        "a substance called wood",
        "a table. On the table is: a glass cup (containing nothing).",
        "a table. On the table is: nothing.",
        "a thermometer, currently reading a temperature of 10 degrees celsius",
        "a toilet. In the toilet is: A drain, which is open, a substance called water.",
        "a ultra low temperature freezer. The ultra low temperature freezer door is closed. ",
        "the ground",
    )
)
_LISTED = (
    "\ta",
    "\tan",
    ", a",
    " (containing a",
    " (containing nothing)",
    " substance called",
    "unknown substance",
    " unknown substance",
    ", which is off",
    ", which is on",
    " self watering flower pot",
    " flower pot",
    "You also see:\n",
)
_ASKED = (
    "Your task is to",
    ", which is located around the",
    " The boxes are located around the",
    " degrees celsius, place it in the",
    " temperature is above",
    " temperature is below",
    ". First, focus on the",
    " Next, focus on the",
    ". First, focus on the thing. Then, move it to the",
    " box in the",
    " Then, create an electrical circuit that powers it on.",
    " The animals are in the 'outside' location.",
    "ocus on the animal with the longest life span",
    "ocus on the animal with the shortest life span",
    " use chemistry to create",
    " When you are done, focus on the",
)
_ANSWERS = (
    "The door is now open.",
    "The door is not open.",
    "The door is already open.",
    "No known action matches that input.",
    "You move to the",
    "You move the",
    "You focus on the",
    " to the inventory.",
    " is now connected to",
    "the thermometer measures a temperature of",
    " degrees celsius",
    "Ambiguous request: Please enter the number for the action you intended (or blank to cancel):\n",
    "\n> ",
)
_SAID = (
    "Thought:",
    " I should",
    ". Action:",
    " The door is closed.",
    " I am in the",
    " I need the",
    " I look for",
    " I bring the",
    " I go to the",
    " I build a circuit.",
    " I see what has changed.",
    " I see what is here.",
    " It may be in the",
    " This is the",
    " There is a",
    " There is no",
    " is here, I need it.",
    ", in the",
    ", through the",
    " open door to",
    " go to",
    " look around",
    " pick up",
    " focus on",
    " connect",
    " terminal 1",
    " terminal 2",
    " in inventory",
    " use thermometer in inventory on",
)

PHRASES = (*_HEADS, _OUTSIDE, *_DOORS, *_FURNITURE, *_LISTED, *_ASKED, *_ANSWERS, *_SAID)
