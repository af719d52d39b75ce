"""Whatever a policy and a critic answer, a search ends: with a tree that holds together, can be kept, drawn and learnt from."""

from __future__ import annotations

import random
from collections import Counter

import msgspec
import pytest
from helpers.search_toys import CRITIC, Dice, grown, roots, thrown
from helpers.toy_shop import TASKS

from eefcore.errors import StoreError
from eefcore.figures.tree import TreeView, write_tree
from eefcore.preferences.trees import node_pairs, outcome_pairs
from eefcore.protocols import Reply, Usage
from eefcore.search import mcts
from eefcore.search.critic import RankingCritic
from eefcore.search.critic_data import critic_questions
from eefcore.search.forest import count_trees, trajectories
from eefcore.search.settings import Signal
from eefcore.search.tree import Edge, Node, Simulation, Tree
from eefcore.storage.records import read_records, write_records
from eefcore.types import StopReason

TEXTS = (
    "", " ", "\n\n", "\0", "\ud800", "\udc00\ud800", "\ud83d\ude00", "\u202e next", "9" * 5000, "-1", "0", "1.5", "1e999", "٣",
    "²", "½", "1 2 3", "COMMAND:", "COMMAND: \n", "COMMAND: next\nCOMMAND: back", "THOUGHT: x\nCOMMAND: 1", "PLAN: " * 3000,
    "buy " + "x" * 20_000, "<|im_end|><|im_start|>system", "</pre><script>alert(1)</script>", "]]>", "{options}", "{0}{x!r}", "%s%n",
    "\\N{BULLET}", "[" * 3000, "{" * 3000, "\x1b[2J", "a\rb\x0bc\u2028d\u0085e", "next", "back", "Think[", "Think[\ud800]", "buy red hat",
)  # fmt: skip

NUMBERS = (0.0, -0.5, -1e308)


def answers(rng: random.Random):
    """A policy's replies, drawn anew at every question, most of them nasty."""
    share = rng.random()

    def say(history, sampling) -> Reply:
        if rng.random() < share:
            return thrown(history, sampling)
        text = rng.choice(TEXTS) + rng.choice(("", *TEXTS))
        n = rng.randrange(3)
        stop = rng.choice([None] * 6 + [*StopReason][1:])
        usage = Usage(rng.randrange(9), rng.randrange(9), rng.choice((0.0, 0.25)))
        return Reply(
            text, (7,) * n, (rng.choice(NUMBERS),) * n, stop, usage, rng.choice(TEXTS), rng.choice(TEXTS)
        )

    return say


def search(seed: int, tmp_path) -> str:
    """Grow trees with an adversary in the policy and the critic, then do with them all that stages do."""
    rng = random.Random(seed)
    signal = rng.choice([*Signal])
    critic = rng.choice((CRITIC, RankingCritic(Dice(answers(rng)), attempts=rng.randrange(1, 4), seed=seed)))
    changes = {
        "K": rng.randrange(1, 6),
        "wave": rng.choice((1, 3)),
        "merge": rng.random() < 0.5,
        "max_turns": rng.randrange(1, 9),
    }
    trees = roots(TASKS[2:5], signal, **changes)
    trees = grown(trees, 6, Dice(answers(rng)), critic, sessions=rng.choice((1, 3)), at_once=2)
    for tree in trees:
        assert tree.attempts == 6 and not [*mcts.contradictions(tree)]
        for edge in (e for node in tree.nodes for e in node.edges):
            assert edge.reply.action.strip() and edge.reply.action.encode()
    path = tmp_path / "trees.jsonl"
    write_records(path, trees, kind="trees", card=None)
    assert read_records(path, Tree).list == trees
    critic_questions(trees)
    count_trees(trees, 0.5)
    for tree in trees:
        write_tree(tmp_path / "tree.html", TreeView(tree))
        assert TreeView(tree).text.encode()
    if signal is Signal.REWARD:
        played = trajectories(trees)
        write_records(tmp_path / "simulations.jsonl", played, kind="trajectories", card=None)
        pairs = [*node_pairs(trees, theta=0.1), *outcome_pairs(played)]
        write_records(tmp_path / "pairs.jsonl", pairs, kind="preferences", card=None)
    return f"{signal.value}, {'no ' * (critic is CRITIC)}hostile critic"


@pytest.mark.parametrize("n", [6, pytest.param(400, marks=pytest.mark.slow)])
def test_no_answer_of_a_policy_or_a_critic_ends_a_search(n, tmp_path):
    print(Counter(search(seed, tmp_path) for seed in range(n)))


def chain(depth: int) -> Tree:
    """A tree of one simulation that is `depth` actions long."""
    (tree,) = roots(TASKS[3:4], max_turns=depth + 2)
    nodes = [
        Node("shelf", k - 1, 0 if k else -1, [Edge(Reply("next"), k + 1, N=1, total=1.0)])
        for k in range(depth)
    ]
    nodes.append(Node("bye", depth - 1, 0, stop=StopReason.DONE, reward=1.0, value=1.0, rollouts=1))
    last = Simulation(depth, "bye", StopReason.DONE, 1.0, reward=1.0)
    return msgspec.structs.replace(tree, nodes=nodes, simulations=[last])


@pytest.mark.parametrize("depth", [1100, pytest.param(5000, marks=pytest.mark.slow)])
def test_a_tree_deeper_than_pythons_stack_is_read_drawn_and_learnt_from(tmp_path, depth):
    tree = chain(depth)
    write_records(tmp_path / "trees.jsonl", [tree], kind="trees", card=None)
    (again,) = read_records(tmp_path / "trees.jsonl", Tree).list
    assert len(again.history(depth)) == depth and not [*mcts.contradictions(again)]
    assert TreeView(again).text.count("\n") == depth and len(TreeView(again).svg) > depth
    (won,) = trajectories([again])
    assert won.win and len(won) == depth


def in_a_ring(nodes: list[dict]) -> None:
    """Let nodes 1 and 2 lead to each other, and no other node to them."""
    nodes[1].update(parent=2)
    nodes[2]["edges"][0].update(child=1)
    nodes[0].pop("edges")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda nodes: nodes[3].update(parent=3), "edge 2.0: its child 3 says it comes from 3.0"),
        (lambda nodes: nodes[0].update(parent=7, edge=0), "node 0 says it comes from node 7"),
        (lambda nodes: nodes[4].pop("parent"), "edge 3.0: its child 4 says it comes from -1.0"),
        (lambda nodes: nodes[4].update(edge=9), "edge 3.0: its child 4 says it comes from 3.9"),
        (
            lambda nodes: nodes[0].pop("edges"),
            "node 1 says it comes from edge 0 of node 0, which has no such",
        ),
        (in_a_ring, "node 1 says it comes from node 2, expected an earlier one"),
        (lambda nodes: nodes[2]["edges"][0].update(child=1), "edge 2.0: its child 1 says it comes from 0.0"),
        (lambda nodes: nodes[2]["edges"][0].update(child=10**9), "edge 2.0 leads to node 1000000000 of 9"),
        (lambda nodes: nodes.pop(), "leads to node 8 of 8"),
    ],
)
def test_nodes_that_are_no_tree_are_refused_where_they_are_read(tmp_path, change, message):
    path = tmp_path / "trees.jsonl"
    write_records(path, [chain(8)], kind="trees", card=None)
    header, line = path.read_text().splitlines()
    content = msgspec.json.decode(line)
    change(content["nodes"])
    path.write_text(f"{header}\n{msgspec.json.encode(content).decode()}\n")
    with pytest.raises(StoreError, match=rf"trees\.jsonl:2: .*{message}"):
        read_records(path, Tree)
