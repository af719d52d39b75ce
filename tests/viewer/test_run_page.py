"""The page of a run holds every episode and tree, what learning did with it, and no text as markup."""

from __future__ import annotations

import re

import msgspec
import pytest
from helpers.episodes import CARD, SKILLS, by_next, episode, naive
from helpers.search_toys import HAT, grown, roots
from helpers.viewed_runs import PageContent, write_run, write_stage
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from eefcore.cli.main import app
from eefcore.errors import StoreError
from eefcore.policies.tiny import make_tokenizer
from eefcore.storage.disk import write_atomically
from eefcore.storage.records import write_records
from eefcore.tracking.stage import Stage
from eefcore.types import History, Step, StopReason, Trajectory
from eefcore.viewer import TrajectoriesView, run_page
from eefcore.viewer.content import Content, Part, Use
from eefcore.viewer.page import render
from eefcore.viewer.tokens import find_vocabulary

EVIL = '</script><script>document.title = "owned"</script><img src=x onerror=alert(1)> ]]> \ud800 {{ 7 * 7 }} &amp;'


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setenv("EEF_RESULTS", str(tmp_path))
    return tmp_path


def page_of(run: str) -> PageContent:
    return PageContent(run_page(run).path.read_text(encoding="utf-8"))


def content_of(trajectories, **more) -> PageContent:
    content = Content("some")
    content.add(Part("some", "some"), trajectories, **{"skills": {}} | more)
    return PageContent(render(content))


def test_a_page_holds_every_episode_of_every_stage_with_its_methods(results):
    write_run(results / "mine")
    page = page_of("mine")
    parts = {part["label"]: part for part in page.index["parts"]}
    assert {label: part["count"] for label, part in parts.items() if part["count"]} == {
        "expert: experts": 4, "explore.1": 2, "evaluate.test": 2, "preferences.2": 1,
    }  # fmt: skip
    assert [p["methods"] for p in page.index["parts"] if p["label"] == "evaluate.test"] == [["SFT"], ["EEF"]]
    assert parts["explore.1"]["methods"] == ["EEF", "ETO"]
    assert len(page.all("bodies")) == len(page.column("task")) == 11
    assert page.column("outcome", "outcome").count("win") == 7
    assert page.index["parts"][0]["key"].startswith("expert-00000000/experts")


def test_what_learning_did_with_each_episode_is_said_with_the_stage_and_its_methods(results):
    write_run(results / "mine")
    page = page_of("mine")
    marks = [body.get("marks", []) for body in page.all("bodies")]
    every = list(range(8))
    assert marks[0] == [["select.1 (SFT)", Use.TRAINED, every], ["select.2 (EEF)", Use.TRAINED, every]]
    assert marks[2] == []
    (back,) = [m for m, part in zip(marks, page.column("part"), strict=True) if part == 1][:1]
    assert back[0] == ["select.2 (EEF)", Use.TRAINED, list(range(5, 10))]
    assert back[1] == ["preferences.2 (ETO)", Use.PREFERRED, list(range(10))]
    assert marks[-1] == [["preferences.2 (ETO)", Use.REJECTED, list(range(5))]]  # played by no stage
    assert page.column("uses")[:3] == [1 << Use.TRAINED, 1 << Use.TRAINED, 0]


def test_the_page_of_a_suite_names_the_run_of_each_stage(results):
    for seed in range(2):
        write_run(results / "suite" / f"seed{seed}")
    page = page_of("suite")
    assert {part["run"] for part in page.index["parts"]} == {"seed0", "seed1"}
    assert len({part["key"] for part in page.index["parts"] if part["count"]}) == 10
    assert len(page.column("task")) == 22


def test_what_is_no_run_says_where_it_was_looked_for(results):
    with pytest.raises(
        StoreError, match="nothing: no finished stage; runs are named as in their params files"
    ):
        run_page("nothing")


def test_the_command_says_where_the_page_is_and_how_much_it_shows(results):
    write_run(results / "mine")
    said = CliRunner().invoke(app, ["view", "mine"])
    assert said.exit_code == 0
    assert re.search(
        r"Trajectories: .*mine/trajectories.html, 11 episodes and 0 trees, \d+.* kB\n", said.output
    )


def test_a_benchmark_that_a_record_names_is_never_imported(results, monkeypatch):
    monkeypatch.syspath_prepend(results)
    (results / "theirs.py").write_text("raise RuntimeError('imported')\n")
    write_stage(results / "mine", "evaluate.test", params={"benchmark": "theirs:load"}, panel=[naive("a")])
    assert page_of("mine").index["notes"] == [
        "Navigation skills are counted for the package's own benchmarks, not for benchmark theirs:load."
    ]


def test_a_benchmark_that_can_not_be_loaded_costs_the_skills_and_says_why(results):
    write_stage(results / "mine", "evaluate.test", params={"benchmark": "webshop"}, panel=[naive("a")])
    (note,) = page_of("mine").index["notes"]
    assert note.startswith("Navigation skills of webshop are not counted: ")


# ------------------------------------------------------------------------------ any text is text


@given(st.text(st.characters(), max_size=40), st.text(st.characters(), min_size=1, max_size=40))
def test_any_text_comes_back_and_is_no_markup(page_text, action):
    page = content_of([episode(EVIL, [(action, page_text)], 0.5, instruction=page_text)])
    texts = page.all("texts")
    (body,) = page.all("bodies")
    ((seen, done, *_),) = body["steps"]
    assert [texts[seen], texts[done], texts[body["last"]]] == [page_text, action, page_text]
    assert page.index["names"]["task"] == [EVIL]


def test_hostile_text_is_in_no_script_and_no_attribute_of_the_page():
    content = Content(EVIL)
    content.note(EVIL)
    history = History(EVIL, EVIL, (Step(EVIL, EVIL, (1,), (-0.5,)),))
    hostile = Trajectory(
        history=history, reward=0.0, source=EVIL, stop=StopReason.MALFORMED, reason=EVIL, refused_answer=EVIL
    )
    content.add(Part(EVIL, EVIL, EVIL, (EVIL,)), [hostile], skills={EVIL: lambda h: [0]})
    html = render(content)
    page = PageContent(html)
    assert len(page.code) == 1
    assert "owned" not in page.code[0]
    assert not {"onerror", "onload", "src", "href"} & {*page.attributes}
    assert html.count("<img") == html.count("<script>document") == 0
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)', html)
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_pages_of_one_run_are_equal_to_the_byte(results):
    write_run(results / "mine")
    first = run_page("mine").path.read_bytes()
    assert run_page("mine").path.read_bytes() == first


# ------------------------------------------------------------------------------ turns, tokens, trees


def test_turns_say_who_acted_what_is_a_thought_and_which_skills_are_used():
    page = content_of([by_next("a", n_expert=3)], skills=SKILLS)
    steps = page.all("bodies")[0]["steps"]
    assert [step[2] for step in steps] == [3, 1, 3, 0, 2, 0, 0, 0]  # an expert's: 1, a thought: 2
    assert [step[3] for step in steps] == [0, 0, 0, 1, 0, 0, 0, 0]
    assert page.index["names"]["skill"] == ["Next"]


def test_tokens_are_shown_by_the_vocabulary_of_the_model_that_sampled_them(tmp_path):
    tokenizer = make_tokenizer(["click Next"])
    tokenizer.save_pretrained(tmp_path)
    vocabulary = find_vocabulary(tmp_path)
    assert vocabulary is not None
    ids = tuple(tokenizer.encode("click Next", add_special_tokens=False))
    own = Step("page", "click Next", ids, tuple(-0.25 for _ in ids))
    steps = (own, msgspec.structs.replace(own, tokenizer="another"))
    page = content_of([Trajectory(history=History("t", "end", steps), reward=0.0)], vocabulary=vocabulary)
    (mine, theirs) = page.all("bodies")[0]["steps"]
    assert "".join(page.index["vocabularies"][0][k] for k in mine[4]).strip() == "click Next"
    assert mine[5] == [-0.25] * len(ids)
    assert theirs[4] == len(ids)  # an expert's ids are of a vocabulary that the page does not have


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"model": 3}'])
def test_a_damaged_tokenizer_costs_the_pieces_alone(tmp_path, content):
    write_atomically(tmp_path / "tokenizer.json", content)
    assert find_vocabulary(tmp_path) is None


def test_a_tree_has_every_edge_and_the_most_visited_path():
    trees = grown(roots([HAT]), 25)
    content = Content("trees")
    content.add_trees(Part("search.1", "search.1"), trees)
    page = PageContent(render(content))
    (tree,) = page.all("trees")
    assert len(tree["nodes"]) == len(trees[0].nodes) == page.index["trees"][0]["nodes"]
    edges = [edge for node in tree["nodes"] for edge in node[4]]
    assert len(edges) == sum(len(node.edges) for node in trees[0].nodes)
    root = tree["nodes"][0][4]
    assert [edge[4] for edge in root if edge[7]] == [max(edge[4] for edge in root)]


# ------------------------------------------------------------------------------ in a notebook


def test_a_notebook_shows_the_page_in_a_frame_that_reaches_nothing():
    view = TrajectoriesView.of([naive("a"), by_next("b")], EVIL, skills=SKILLS)
    html = view._repr_html_()
    assert re.match(r'<iframe sandbox="allow-scripts" title="', html)
    assert html.count("<") == 2  # the frame alone: its page is an attribute, escaped
    assert repr(view) == f"2 trajectories and 0 trees of {EVIL}"


def test_a_long_list_is_cut_in_a_notebook_and_says_so():
    view = TrajectoriesView.of([naive("a")] * 1001)
    assert view.content.episodes == 1000
    assert list(view.content.notes) == ["The first 1,000 of 1,001 episodes; a notebook keeps the whole page."]


def test_a_stage_shows_what_it_has_written_so_far_and_when_it_is_finished(results, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    stage = Stage.open(run="mine", label="evaluate.test", notebook="06_evaluate", params={}, inputs={})
    assert stage.trajectories(skills=SKILLS).content.episodes == 0
    write_records(stage.folder / "panel.jsonl", [naive("a"), by_next("b")], kind="trajectories", card=CARD)
    assert repr(stage.trajectories(skills=SKILLS)) == "2 trajectories and 0 trees of evaluate.test"
    stage.finish()
    assert stage.trajectories(skills=SKILLS).content.episodes == 2
