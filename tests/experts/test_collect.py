"""Expert data: demonstrations, their cost, and the table of experts (EEF Tables 1 and 4)."""

import json
from types import SimpleNamespace

import pytest
from helpers.episodes import CARD, SKILLS, by_back, by_next, episode, naive

from eefcore.errors import DataError, ParamsError
from eefcore.experts import collect
from eefcore.experts.webshop import experts as shop
from eefcore.storage.cost import Cost
from eefcore.storage.records import write_records
from eefcore.types import Card, History, Step, Trajectory


def test_each_expert_demonstrates_each_task_of_the_split(mini):
    trajectories = collect.demonstrations(mini, ["strong", "weak"], "dev", seed=1)
    assert [(t.source, t.task_id) for t in trajectories] == [
        (name, task) for name in ("strong", "weak") for task in mini.tasks("dev")
    ]
    assert all(t.n_expert == len(t) for t in trajectories)


def test_demonstrations_repeat_by_seed(mini):
    def demonstrate(seed):
        return collect.demonstrations(mini, ["weak"], "train", seed=seed)

    assert demonstrate(1) == demonstrate(1) != demonstrate(2)


def test_each_expert_has_its_price(mini):
    for name, strength in shop.STRENGTHS.items():
        for t in collect.demonstrations(mini, [name], "dev", seed=0):
            assert t.money == pytest.approx(strength.price * len(t))
    assert shop.STRENGTHS["strong"].price == pytest.approx(30 * shop.STRENGTHS["weak"].price)


def test_an_unknown_expert_is_refused(mini):
    with pytest.raises(
        ParamsError, match="no expert 'GPT-4' for webshop; choose one of strong, weak, perfect"
    ):
        collect.demonstrations(mini, ["GPT-4"], "dev", seed=0)


def test_a_benchmark_without_scripted_experts_is_refused():
    class Elsewhere:
        card = Card("elsewhere", {})

    with pytest.raises(ParamsError, match="no scripted expert for elsewhere; give 02_expert a `file`"):
        collect.demonstrations(Elsewhere(), ["strong"], "train", seed=0)


# What it amounts to -------------------------------------------------------------------------------------


def paid(t, money):
    return Trajectory(history=t.history, reward=t.reward, n_expert=len(t), source=t.source, money=money)


TRAJECTORIES = [
    paid(by_next("a", source="dear"), 0.5),
    paid(naive("b", source="dear"), 0.25),
    paid(by_back("a", source="cheap"), 0.01),
    paid(by_next("c", 0.5, source="dear"), 0.25),
]


def test_experts_are_named_in_order_of_appearance():
    assert collect.expert_names(TRAJECTORIES) == ["dear", "cheap"]
    assert collect.by_expert(TRAJECTORIES, "dear") == [TRAJECTORIES[0], TRAJECTORIES[1], TRAJECTORIES[3]]
    assert collect.by_expert(TRAJECTORIES, "nobody") == []


def test_shares_of_tasks_count_the_first_trajectory_of_an_expert_on_each_task():
    assert collect.first_samples([*TRAJECTORIES, *TRAJECTORIES[:2]]) == TRAJECTORIES


def test_the_cost_of_demonstrations_is_their_money():
    assert collect.expert_cost(TRAJECTORIES) == Cost(money=1.01)
    assert collect.expert_cost([]) == Cost()


def test_the_table_has_a_row_for_each_expert():
    dear, cheap = collect.expert_table(TRAJECTORIES, SKILLS)
    lengths = [len(TRAJECTORIES[0]), len(TRAJECTORIES[1]), len(TRAJECTORIES[3])]
    assert dear == {
        "expert": "dear",
        "trajectories": 3,
        "positive": 1,
        "mean length": round(sum(lengths) / 3, 2),
        "money": 1.0,
        "Next used": 2,
        "Next won by": 1,
        "Back used": 0,
        "Back won by": 0,
    }
    assert (cheap["Back used"], cheap["Back won by"], cheap["Next used"], cheap["money"]) == (1, 1, 0, 0.01)
    assert collect.expert_table([], SKILLS) == []


@pytest.mark.parametrize(
    "t, skills",
    [(by_next("t"), {"Next"}), (by_back("t"), {"Back"}), (naive("t"), set()), (episode("t", (), 0.0), set())],
)
def test_a_thought_about_a_skill_does_not_use_it(t, skills):
    assert {name for name, uses in SKILLS.items() if uses(t.history)} == skills


def test_the_shops_own_patterns_find_the_shoppers_clicks(mini):
    kinds = shop.task_kinds(mini)
    for t in collect.demonstrations(mini, ["perfect"], "train", seed=0):
        used = {name for name, uses in mini.skills.items() if uses(t.history)}
        needed = {
            "direct": set(),
            "next": {"Next"},
            "far": {"Next"},
            "back": {"Back"},
            "back_next": {"Next", "Back"},
        }
        assert used == needed[kinds[t.task_id]]


# From elsewhere -----------------------------------------------------------------------------------------


def test_our_own_records_are_read(mini, tmp_path):
    file = tmp_path / "experts.jsonl"
    write_records(file, TRAJECTORIES, kind="trajectories", card=CARD)
    assert collect.read_demonstrations(str(file), mini).trajectories == TRAJECTORIES


def conversation(tmp_path, instruction):
    """A foreign file of one record."""
    messages = [
        ("human", "You are a shopper."),
        ("gpt", "OK"),
        ("human", instruction),
        ("gpt", "search[hat]"),
        ("human", "a hat"),
    ]
    turns = [{"from": speaker, "value": text} for speaker, text in messages]
    file = tmp_path / "webshop.json"
    file.write_text(json.dumps([{"item_id": "webshop_1", "reward": 0.5, "conversations": turns}]))
    return str(file)


@pytest.mark.parametrize(
    "wording, variant",
    [
        ("{}, and price lower than 77.00 dollars", "@77"),
        ("Instruction:\n{}.\n[Search]", ""),
        ("{}", ""),
        ("WebShop [SEP] Instruction: [SEP] {}, and price lower than 77.50 dollars [SEP] Search", "@77.5"),
        ("WebShop [SEP] Instruction: [SEP] {} [SEP] Search", ""),
        ("Webshop \nInstruction:  \n{}, and price lower than 77.00 dollars \n[Search] ", "@77"),
        ("Task: {}", ""),
    ],
)
def test_a_foreign_record_is_the_task_that_asks_for_the_same(mini, tmp_path, wording, variant):
    """Under the price cap that the official engine drew for the record."""
    task = mini.tasks("dev")[0]
    wish, _, _ = mini.instruction(task).partition(", and price lower than")
    (t,) = collect.read_demonstrations(conversation(tmp_path, wording.format(wish)), mini).trajectories
    assert t.task_id == task + variant
    assert (len(t), t.reward) == (1, 0.5) and "search[hat]" in t.actions[0]


def test_a_file_without_a_training_task_may_be_cloned(mini, tmp_path):
    file = conversation(tmp_path, "buy a hat")
    options = {"seed": 0, "budget": None, "allocation": "each"}
    with pytest.raises(DataError, match="with only_clone: true it is cloned, and nothing is explored"):
        collect.expert_data(mini, [], file, **options)
    (t,) = collect.expert_data(mini, [], file, **options, only_clone=True).trajectories
    assert collect.attempted_tasks([t], mini) == [] and collect.without_held_out([t], mini) == [t]


class TwoOfAWish:
    """Two tasks that ask for the same and begin in different rooms, as ScienceWorld's variations do."""

    card = Card("toy", {})

    def tasks(self, split):
        return ("bedroom", "kitchen") if split == "train" else ()

    def instruction(self, task_id):
        return "find a plant"

    def make(self):
        return SimpleNamespace(reset=lambda task: f"find a plant\nYou are in the {task}.")


@pytest.mark.parametrize(
    "number, room, task",
    [
        ("1", "kitchen", "kitchen"),
        ("bedroom", "kitchen", "kitchen"),
        ("kitchen", "cellar", "kitchen"),
        ("1", "cellar", "bedroom"),
    ],
)
def test_of_tasks_that_ask_for_the_same_a_record_is_of_the_one_that_begins_alike(
    tmp_path, number, room, task
):
    """What it shows counts more than its number."""
    history = History(number, "", (Step(f"find a plant\nYou are in the {room}.", "look"),))
    file = tmp_path / "t.jsonl"
    write_records(file, [Trajectory(history=history, reward=1.0)], kind="trajectories", card=None)
    (t,) = collect.read_demonstrations(str(file), TwoOfAWish()).trajectories
    assert t.task_id == task


def test_a_foreign_record_of_no_task_keeps_its_own_id(mini, tmp_path):
    (t,) = collect.read_demonstrations(conversation(tmp_path, "buy a hat"), mini).trajectories
    assert t.task_id not in mini.goals


@pytest.mark.parametrize("content", ["", "nothing of the kind\n", '{"some": "json"}\n'])
def test_a_file_in_no_known_format_is_refused(mini, tmp_path, content):
    file = tmp_path / "odd.jsonl"
    file.write_text(content)
    with pytest.raises(DataError):
        collect.read_demonstrations(str(file), mini)


def test_a_missing_file_is_refused(mini, tmp_path):
    with pytest.raises(DataError):
        collect.read_demonstrations(str(tmp_path / "nowhere.jsonl"), mini)


# Dev and test tasks stay out ----------------------------------------------------------------------------


def test_trajectories_of_dev_and_test_tasks_are_left_out(mini):
    tasks = [i for split in ("test", "train", "dev") for i in mini.tasks(split)]
    trajectories = [episode(task, (), 0.0) for task in (*tasks, "a foreign one")]
    assert [t.task_id for t in collect.without_held_out(trajectories, mini)] == [
        *mini.tasks("train"),
        "a foreign one",
    ]


def test_the_starts_of_the_dev_and_test_tasks_are_held_out(mini):
    held = collect.held_out_starts(mini)
    assert [h.task_id for h in held] == [*mini.tasks("dev"), *mini.tasks("test")]
    env = mini.make()
    assert all(len(h) == 0 and h.observation == env.reset(h.task_id) for h in held)
