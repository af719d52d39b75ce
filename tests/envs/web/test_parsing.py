from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eefcore.envs.web.page import Kind
from eefcore.envs.web.parsing import parse, text_of
from eefcore.errors import BrowserError


def texts(html: str) -> list[str]:
    page = parse(html)
    return [line.text for line in page.visible_lines() if line.control is None]


def labels(html: str) -> list[str]:
    return [c.label for c in parse(html).controls]


@pytest.mark.parametrize(
    ("html", "lines"),
    [
        ("<p>a <b>b</b>c<p>d", ["a bc", "d"]),
        ("a<br>b<div>c</div>d", ["a", "b", "c", "d"]),
        ("<h1>A <small>b</small></h1><h2>C</h2><h6>D</h6>", ["# A b", "## C", "### D"]),
        ("<table><tr><th>Day<th>Price<tr><td>Mon<td>3 $</table>", ["Day | Price", "Mon | 3 $"]),
        ("<ul><li>one<li>two</ul>", ["one", "two"]),
        ("<p>see <a href=/x>this</a> now, <a href=/y>or</a>, <a href=/z>that</a>.", ["see", "now,"]),
        ("<p><img alt='A dish' src=x> of the day", ["A dish of the day"]),
        ("<p>a&nbsp;&amp;\n  b\t c<!-- d -->", ["a & b c"]),
        (
            "<p><script>x</script><style>y</style><noscript>n</noscript><svg><text>s</text></svg><template>t</template>z",
            ["z"],
        ),
    ],
)
def test_text_is_read_in_lines_as_it_is_seen(html, lines):
    assert texts(html) == lines


@pytest.mark.parametrize(
    "html",
    [
        "<p hidden>x <a href=/>y</a>",
        "<div inert>x <a href=/>y</a></div>",
        "<dialog>x <a href=/>y</a></dialog>",
        "<div popover>x <a href=/>y</a></div>",
        "<datalist>x <a href=/>y</a></datalist>",
        "<details>x <a href=/>y</a></details>",
        "<details><summary hidden>s</summary>x <a href=/>y</a></details>",
        "<div hidden><p><span>x</span> <a href=/>y</a></div>",
    ],
)
def test_what_an_attribute_hides_has_no_line_and_its_controls_keep_their_ids(html):
    page = parse(f"{html}<p>seen <a href=/z>z</a>")
    assert [line.text for line in page.visible_lines() if line.control is None] == ["seen"]
    *hidden, link = page.controls
    assert hidden and not any(page.is_visible(c) for c in hidden)
    assert page.is_visible(link) and link.id == len(page.controls)


def test_an_open_dialog_is_seen():
    assert texts("<div inert>x</div><dialog open>y</dialog>") == ["y"]


def test_ids_count_in_document_order_without_unseen_fields():
    page = parse(
        "<a href=/>1</a><input type=hidden name=h><button>2</button><div hidden><input></div><select></select>"
    )
    assert [(c.position, c.id, c.kind) for c in page.controls] == [
        (0, 1, Kind.LINK), (1, 0, Kind.UNSEEN), (2, 2, Kind.BUTTON), (3, 3, Kind.FIELD), (4, 4, Kind.SELECT),
    ]  # fmt: skip


def test_details_fold_what_follows_their_summary():
    page = parse(
        "<details><summary>S</summary><p>in<details open><summary>T</summary><p>deep</details></details>"
    )
    outer, inner = page.controls
    assert (outer.checked, inner.checked, inner.folds) == (False, True, (0,))
    assert [line.text for line in page.visible_lines()] == [""]
    opened = page.toggled(outer)
    assert [line.text for line in opened.visible_lines()] == ["", "in", "", "deep"]
    assert [line.text for line in opened.toggled(opened.controls[1]).visible_lines()] == ["", "in", ""]
    assert opened.toggled(opened.controls[0]) == page


def test_a_link_to_a_folded_place_opens_what_it_is_folded_in():
    page = parse(
        "<details><summary>S</summary><details><summary>T</summary><p id='a b'>deep</details></details><p id=c>"
    )
    assert [c.checked for c in page.revealing("a%20b").controls] == [True, True]
    assert page.revealing("c") == page.revealing("nowhere") == page


@pytest.mark.parametrize(
    ("html", "label"),
    [
        ("<label for=i>Name</label><input id=i>", "Name"),
        ("<label>Name <input></label>", "Name"),
        ("<label>City <select><option>Rome</select></label>", "City"),
        ("<label for=i>A</label><label for=i>B</label><input id=i>", "A B"),
        ("<label for=i>Name</label><input id=i aria-label=Alias>", "Alias"),
        ("<input placeholder=Street>", "Street"),
        ("<input name=street>", "street"),
        ("<button>Go <b>on</b></button>", "Go on"),
        ("<button aria-label=Close></button>", "Close"),
        ("<input type=submit value='Go on'>", "Go on"),
        ("<input type=submit>", "Submit"),
        ("<a href=/><img alt=Home></a>", "Home"),
        ("<a href=/><h3>Vela</h3><p>Italian</p></a>", "Vela Italian"),
    ],
)
def test_a_control_is_called_by_its_label(html, label):
    assert labels(html) == [label]
    assert texts(html) == []


def test_a_label_of_nothing_is_text():
    assert texts("<label>Alone</label><label for=x>Lost</label>") == ["AloneLost"]


def test_the_head_of_a_page_is_its_title_clock_and_notices():
    page = parse(
        "<title> The  page</title><time data-clock>10 AM</time><p role=alert>No <a href=/>table</a>.</p>"
        "<div role=status hidden>never</div><div role=status>Saved</div>"
    )
    assert (page.title, page.time, page.notices) == ("The page", "10 AM", ("No table.", "Saved"))
    assert [line.control for line in page.lines] == [0]


def test_a_disabled_fieldset_disables_all_but_its_first_legend():
    page = parse(
        "<fieldset disabled><legend><input name=a></legend><input name=b><legend><input name=c></legend>"
        "<fieldset><button name=d></button></fieldset></fieldset><select name=e disabled></select><a href=/>l</a>"
    )
    assert [c.disabled for c in page.controls] == [False, True, True, True, True, False]


def test_a_control_belongs_to_the_form_that_it_names():
    page = parse(
        "<form id=f><input><input form=g><input form=nothing></form><form id=g></form><input form=f><input>"
    )
    assert [c.form for c in page.controls] == [0, 1, None, 0, None]


def test_the_first_enabled_choice_is_chosen_unless_the_page_says_otherwise():
    def chosen(html: str) -> tuple[int, ...]:
        return parse(html).controls[0].chosen

    assert chosen("<select><option disabled>a<option>b</select>") == (1,)
    assert chosen("<select><optgroup disabled><option>a</optgroup><option>b</select>") == (1,)
    assert chosen("<select><option selected>a<option selected>b</select>") == (1,)
    assert chosen("<select size=3><option>a</select>") == ()
    assert chosen("<select multiple><option selected>a<option selected>b</select>") == (0, 1)


def test_one_radio_button_of_a_group_is_chosen():
    page = parse(
        "<input type=radio name=a checked><input type=radio name=a checked><input type=radio checked>"
    )
    assert [c.checked for c in page.controls] == [False, True, True]
    first = page.toggled(page.controls[0])
    assert [c.checked for c in first.controls] == [True, False, True]
    assert first.toggled(first.controls[0]) == first


def test_a_reset_brings_back_what_the_page_came_with():
    page = parse(
        "<form><input value=a><input type=checkbox checked><select><option>x<option>y</select>"
        "<input type=radio name=r><input type=radio name=r checked></form><input value=b>"
    )
    changed = page.filled(page.controls[0], "z").toggled(page.controls[1]).choosing(page.controls[2], (1,))
    changed = changed.toggled(changed.controls[3]).filled(page.controls[5], "w")
    assert changed.cleared_form(0) == page.filled(page.controls[5], "w")


def test_what_a_browser_says_of_a_control_now_goes_before_what_the_page_said():
    page = parse(
        "<input value=a data-live=b><input type=checkbox checked data-live=''><select data-live=1><option>x<option>y</select>"
    )
    field, box, select = page.controls
    assert (field.value, field.original, box.checked, box.original, select.chosen) == (
        "b",
        "a",
        False,
        True,
        (1,),
    )


@given(st.text(alphabet="<>/=\"' abdinputselecthrf&;!-\n", max_size=200))
def test_any_text_is_some_page(html):
    page = parse(html)
    assert [c.position for c in page.controls] == list(range(len(page.controls)))


def test_a_page_of_endless_depth_is_refused():
    with pytest.raises(BrowserError, match="deep"):
        parse("<div>" * 5000 + "x")


def test_text_of_an_element_leaves_out_what_its_controls_hold():
    from selectolax.lexbor import LexborHTMLParser

    node = LexborHTMLParser("<p>a <select><option>b</select><i hidden>c</i> <b>d</b></p>").css_first("p")
    assert text_of(node) == "a d"
