"""A tree as a picture: every visited page can be pointed at, and 5,000 nodes are quick."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest
from helpers.search_toys import HAT, Dice, grown, record, roots

from eefcore.figures import search
from eefcore.figures import tree as tree_view
from eefcore.protocols import Reply
from eefcore.search import mcts
from eefcore.search.calibration import Bin
from eefcore.search.mcts import Proposal, StepResult
from eefcore.search.tree import Simulation, Tree
from eefcore.types import StopReason

NS = "{http://www.w3.org/2000/svg}"


def drawn(tree: Tree) -> ET.Element:
    return ET.fromstring(tree_view.TreeView(tree).svg)


def test_every_visited_node_is_a_dot_with_its_page_and_every_edge_says_its_numbers():
    (tree,) = grown(roots([HAT]), 25)
    svg = drawn(tree)
    visited = [0, *(e.child for n in tree.nodes for e in n.edges if e.N)]
    assert svg.get("aria-label") == svg.findtext(f"{NS}text")
    dots = svg.findall(f"{NS}circle")
    assert len(dots) == len(visited)
    titles = sorted(d.find(f"{NS}title").text.split("\n")[0] for d in dots)
    assert titles == sorted(tree.nodes[k].observation for k in visited)
    said = ["".join(t.itertext()) for t in svg.findall(f"{NS}text")]
    for node in tree.nodes:
        for e in node.edges:
            numbers = f"N {e.N} · Q̃ {mcts.mean_return(e):.2f} · Q̂ {e.q_hat:.2f}"
            assert (numbers in said) is (e.N > 0) or e.N == 0
    untried = sum(not e.N for n in tree.nodes for e in n.edges)
    folded = [int(m[1]) for t in said if (m := re.match(r"\+(\d+)", t))]
    assert sum(folded) == untried > 0


def test_actions_are_shown_short_with_the_full_text_as_title():
    said = 'PLAN: look.\nCOMMAND: click[{"button": "Next >"}]'
    (tree,) = grown(roots([HAT], K=1), 1, Dice(lambda h, s: Reply(said, (1,), (-0.1,))))
    texts = [t for t in drawn(tree).findall(f"{NS}text") if t.find(f"{NS}title") is not None]
    assert [t.text for t in texts[:1]] == ["click Next >"]
    assert texts[0].find(f"{NS}title").text == said


def test_a_final_node_shows_how_the_episode_ended():
    (tree,) = roots([HAT])
    ends = [
        (StopReason.DONE, 1.0, 1.0),
        (StopReason.DONE, 0.5, 0.0),
        (StopReason.DONE, None, 0.75),
        (StopReason.TURN_LIMIT, None, 0.0),
    ]
    mcts.expand(tree, 0, [Proposal(Reply(f"a{i}"), StepResult("a page")) for i in range(len(ends) + 1)])
    for node, (stop, reward, value) in zip(tree.nodes[1:], ends, strict=False):
        node.stop, node.reward, node.value = stop, reward, value
    for child in range(1, len(tree.nodes)):
        record(tree, Simulation(child, "end", StopReason.DONE, 0.5))
    said = {"".join(t.itertext()) for t in drawn(tree).findall(f"{NS}text")}
    assert {"R 1.00", "R 0.50", "judged 0.75", "turn limit"} <= said
    assert len([t for t in said if t.startswith(("R ", "judged", "turn"))]) == 4


def test_the_chosen_path_is_bold_and_marked():
    (tree,) = grown(roots([HAT]), 40)
    view = tree_view.TreeView(tree)
    bold = [t for t in drawn(tree).findall(f"{NS}text") if t.get("font-weight") == "bold"]
    path = mcts.principal_path(tree, "visits")
    assert sorted(t.find(f"{NS}title").text for t in bold) == sorted(tree.edge(p).reply.action for p in path)
    starred = [
        line.strip(" *").split("  ")[0]
        for line in view.text.splitlines()[1:]
        if line.lstrip().startswith("*")
    ]
    assert starred == [tree.edge(p).reply.action for p in path]


def test_what_an_environment_says_is_escaped(tmp_path):
    (tree,) = grown(roots([HAT], K=1), 1, Dice(lambda h, s: Reply("<b>&'\"", (1,), (-0.1,))))
    view = tree_view.TreeView(tree)
    tree_view.write_tree(tmp_path / "tree.html", view)
    page = (tmp_path / "tree.html").read_text()
    assert "<b>" not in page and "&lt;b&gt;" in page and "<script" not in page
    assert view._repr_html_().startswith("<div") and repr(view) == view.text


@pytest.mark.timeout(60)  # quadratic work takes minutes
@pytest.mark.parametrize("shape", ["wide", "deep"])
def test_a_tree_of_five_thousand_nodes_is_drawn(shape):
    (tree,) = roots([HAT], max_turns=2000)
    k = 0
    while len(tree.nodes) < 5000:
        first = len(tree.nodes)
        mcts.expand(
            tree,
            k,
            [
                Proposal(Reply(f"a{i}"), StepResult("a page " * 30))
                for i in range(10 if shape == "wide" else 4)
            ],
        )
        for child in range(first, len(tree.nodes)):
            record(tree, Simulation(child, "end", StopReason.DONE, 0.5))
        k = k + 1 if shape == "wide" else first
    svg = tree_view.TreeView(tree).svg
    assert svg.count("<circle") == len(tree.nodes) and len(svg) < 8_000_000


def test_search_and_critic_drawn_with_their_numbers():
    plot = search.budget_and_critic({1: 0.25, 2: 0.5}, [Bin(0.1, 0.2, 7)], 0.4)
    assert plot.data == [
        {"what": "solved", "x": 1.0, "y": 0.25, "n": 0},
        {"what": "solved", "x": 2.0, "y": 0.5, "n": 0},
        {"what": "critic", "x": 0.1, "y": 0.2, "n": 7},
    ]
    assert "0.40" in plot.axes[1].get_title(loc="left")
    search.budget_and_critic({}, [], float("nan"))
