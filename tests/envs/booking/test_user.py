"""The user by rules: each topic is known by its words, and answered from the task."""

import pytest

from eefcore.envs.booking.clock import say_time
from eefcore.envs.booking.tasks import FULL, draw_tasks, make_sources
from eefcore.envs.booking.user import NOTHING_TO_ADD, answer

TASKS = draw_tasks(
    make_sources(cities=8, restaurants=30, mix=FULL, seed=0)["test"], 150, seed=0, split="test"
)
TASK = next(task for task in TASKS if {"ask seating", "sold out"} <= {*task.factors})
TARGET = TASK.goal.target


@pytest.mark.parametrize(
    "question, told",
    [
        ("Would you like to sit indoors or outdoors?", f"{TARGET.seating}, please."),
        ("Which seating do you prefer?", f"{TARGET.seating}, please."),
        ("What is your telephone number?", f"My phone number is {TASK.guest.phone}."),
        ("E-mail?", f"My e-mail is {TASK.guest.email}."),
        ("Under what name shall I book?", f"My name is {TASK.guest.name}."),
        ("How many people?", f"Party size: {TARGET.party}."),
        ("That time is taken. What shall I do?", "Take the nearest time on that day, and of two as near the earlier."),
        ("What is the weather like?", NOTHING_TO_ADD),
        ("", NOTHING_TO_ADD),
        ("\ud800 🛒" * 100, NOTHING_TO_ADD),
    ],
)  # fmt: skip
def test_a_question_is_answered(question, told):
    assert told in answer(TASK, question)


def test_a_question_about_two_things_is_answered_for_both():
    told = answer(TASK, "Where do you want to sit, and what is your phone number?")
    assert told == f"{TARGET.seating}, please. My phone number is {TASK.guest.phone}."


def test_the_time_is_the_one_that_was_asked_for_and_not_the_solution():
    assert TASK.asked != TARGET.time
    assert answer(TASK, "At what time?") == f"{say_time(TASK.asked)}."


def test_a_user_who_cancels_has_nothing_to_add():
    task = next(task for task in TASKS if task.kind == "cancel")
    assert answer(task, "Which seating, phone, name?") == NOTHING_TO_ADD


def test_every_hidden_fact_is_told_when_asked_for():
    for task in TASKS:
        if "ask seating" in task.factors:
            assert task.goal.target.seating in answer(task, "Indoor or outdoor seating?")
        if "ask phone" in task.factors:
            assert task.guest.phone in answer(task, "Your phone number, please?")
