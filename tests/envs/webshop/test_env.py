"""WebShop through its three interfaces: the contract, every reply of AgentLite's client, official text."""

import json

import pytest
from helpers.webshop_stand_in import TOWEL, interface, webshop

from eefcore.envs.webshop.env import StepCache
from eefcore.envs.webshop.interfaces.agentlite import INCORRECT_FORMAT, NO_SEARCH, WRONG_ACTION, parse_action
from eefcore.envs.webshop.interfaces.agentlite_pages import server_keywords
from eefcore.envs.webshop.interfaces.session import ShopSession
from eefcore.testing import EnvironmentContract
from eefcore.types import History, State, Step


def search(words):
    return f"search[{json.dumps({'product': words})}]"


def click(button):
    return f"click[{json.dumps({'button': button})}]"


THINK = 'Think[{"response": "hm"}]'
FINISH = 'Finish[{"response": "I give up."}]'


class TestAgentLite(EnvironmentContract):
    task = TOWEL.id
    script = (
        THINK,
        search("bath towel"),
        click("B000000001"),
        click("large"),
        click("Description"),
        click("< Prev"),
        click("red"),
        click("Buy Now"),
    )

    def make(self):
        return webshop(interface("agentlite"))


class TestAgentLiteWithoutBuying(TestAgentLite):
    script = (search("towel"), FINISH)


class TestText(EnvironmentContract):
    task = TOWEL.id
    script = ("search[bath towel]", "click[b000000001]", "click[Red]", "click[large]", "click[buy now]")
    mode = "text"

    def make(self):
        return webshop(interface(self.mode))


class TestTextRich(TestText):
    mode = "text_rich"


def played(actions, shown="agentlite", **switches):
    env = webshop(interface(shown, **switches))
    env.reset(TOWEL.id)
    for action in actions[:-1]:
        env.step(action)
    return env.step(actions[-1])


def page(*actions, **switches):
    return played(actions, **switches).observation


# AgentLite: pages

RESULTS = (
    "WEB PAGE: {\n[Back to Search] \nPage 1 (Total results: 15) \n[Next >] \n[B000000001] \nSoft Bath Towel "
    "\n$12.5 \n[B000000006] \nBath Towel Rack \n$990.0 \n[B000000002] \nBeach Towel \n$30.0 }"
)
ITEM = (
    "WEB PAGE: {\n[Back to Search] \n[< Prev] \nsize [small][large][x-large]\ncolor [red][dark blue]"
    "\nSoft Bath Towel \nPrice: $12.5 \nRating: N.A. \n[Description] \n[Features] \n[Reviews] \n[Buy Now] }"
)
TO_ITEM = (search("bath towel"), click("B000000001"))


def test_the_first_observation_is_the_goal_alone():
    assert webshop(interface("agentlite")).reset(TOWEL.id) == TOWEL.instruction


def test_pages_are_written_to_the_letter():
    assert page(search("bath towel")) == RESULTS
    assert page(*TO_ITEM) == ITEM
    assert page(*TO_ITEM, click("Description")) == (
        "WEB PAGE: {\n[Back to Search] \n[< Prev] \nA towel. Made of cotton. }"
    )
    assert page(*TO_ITEM, click("Features")) == (
        "WEB PAGE: {\n[Back to Search] \n[< Prev] \n Soft and fluffy \n Machine wash }"
    )
    assert page(*TO_ITEM, click("Reviews")) == "WEB PAGE: {\n[Back to Search] \n[< Prev] }"
    assert page(*TO_ITEM, click("Back to Search")) == "WEB PAGE: {Let us begin shopping \n[Search]}"


def test_page_two_has_both_arrows():
    assert page(search("bath towel"), click("Next >")).startswith(
        "WEB PAGE: {\n[Back to Search] \nPage 2 (Total results: 15) \n[< Prev] \n[Next >] \n[B000000003] "
    )


def test_pages_go_on_past_the_end_and_count_from_the_end_before_the_start():
    empty = "WEB PAGE: {{\n[Back to Search] \nPage {} (Total results: 15) \n[{}Next >] }}"
    assert page(search("x"), *[click("Next >")] * 5) == empty.format(6, "< Prev] \n[")
    assert page(search("x"), click("< Prev")) == empty.format(0, "")
    assert "Page -1" in page(search("x"), *[click("< Prev")] * 2)
    assert page(search("x"), *[click("< Prev")] * 2).count("\n[B0") == 3


def test_a_listing_is_remembered_on_pages_that_list_nothing():
    assert "Soft Bath Towel \nPrice" in page(search("bath towel"), click("< Prev"), click("B000000001"))


def test_the_switches_of_eefs_transcripts():
    assert page(search("bath towel"), click("Next"), arrows=False).count("[Next]") == 1
    assert "\n[Prev] \n[Next] " in page(search("bath towel"), click("Next"), arrows=False)
    assert page(search("bath towel"), click("Next >"), arrows=False) == "WEB PAGE: {Button must be an asin}"
    assert page(click("Prev"), arrows=False) == "WEB PAGE: {This is no [Prev] button}"
    assert page(*TO_ITEM, item_lines=False) == (
        "WEB PAGE: {\n[Back to Search] \n[< Prev] \nsize [small][large][x-large]\ncolor [red][dark blue]"
        "\nSoft Bath Towel \nPrice: $12.5 \n[Buy Now] }"
    )


def test_only_one_word_options_show_that_they_are_selected():
    there_and_back = (click("Features"), click("< Prev"))
    shown = page(*TO_ITEM, click("dark blue"), click("large"), *there_and_back)
    assert "size [small][[large]][x-large]\ncolor [red][dark blue]\n" in shown


def test_pages_lose_what_latin_1_lacks_and_buttons_keep_it():
    to_item = (search("édition"), click("B000000004"))
    assert "color [café][][red]\nTowel    édition \n" in page(*to_item)
    assert page(*to_item, click("日本")) == "WEB PAGE: {You have clicked 日本.}"
    assert page(*to_item, click("")) == (
        "WEB PAGE: {your button must be in {'café': 'color', '日本': 'color', 'red': 'color'}.}"
    )


def test_what_looks_like_a_goal_before_a_button_is_cut_from_any_page():
    shown = page(search("cloth"), click("B000000005"))
    assert (
        shown == "WEB PAGE: {[Back to Search] \n[< Prev] \nCloth | twice] "
        "\nPrice: $7.0 \nRating: N.A. \n[Description] \n[Features] \n[Reviews] \n[Buy Now]}"
    )


# AgentLite: every reply of its state machine

NO_OPTIONS = (search("tea"), click("B00000000B"))
SUB = (*TO_ITEM, click("Description"))


@pytest.mark.parametrize(
    ("actions", "reply"),
    [
        ((search("x"), search("y")), NO_SEARCH),
        ((*TO_ITEM, search("y")), NO_SEARCH),
        ((click("Buy Now"),), "There is no [Buy Now] button"),
        ((search("x"), click("Buy Now")), "There is no [Buy Now] button"),
        ((*SUB, click("Buy Now")), "There is no [Buy Now] button"),
        ((click("Back to Search"),), "This is no [Back to Search] button"),
        ((click("Next >"),), "This is no [Next >] button"),
        ((*TO_ITEM, click("Next >")), "This is no [Next >] button"),
        ((click("< Prev"),), "This is no [< Prev] button"),
        ((click("Description"),), "This is no [Description] button"),
        ((search("x"), click("Features")), "This is no [Features] button"),
        ((*SUB, click("Reviews")), "This is no [Reviews] button"),
        ((*SUB, click("Attributes")), "This is no [Attributes] button"),
        ((search("x"), click("B00000000B")), "Button must be an asin"),
        ((search("x"), click("b000000001")), "Button must be an asin"),
        ((search("x"), click("buy now")), "Button must be an asin"),
        ((*TO_ITEM, click("large")), "You have clicked large."),
        ((*TO_ITEM, click("Large")), None),
        ((*NO_OPTIONS, click("large")), "No option_types."),
    ],
)
def test_each_action_has_the_reply_of_the_real_site(actions, reply):
    known = "{'small': 'size', 'large': 'size', 'x-large': 'size', 'red': 'color', 'dark blue': 'color'}"
    assert page(*actions) == f"WEB PAGE: {{{reply or f'your button must be in {known}.'}}}"


@pytest.mark.parametrize(
    ("before", "button"), [((), "Soft"), (SUB, "large"), (SUB, "B000000001")], ids=["start", "sub", "sub id"]
)
def test_other_clicks_on_start_and_sub_pages_show_the_page_again(before, button):
    there = page(*before) if before else "WEB PAGE: {Let us begin shopping \n[Search]}"
    assert page(*before, click(button)) == there


def test_where_prev_leads():
    assert page(*TO_ITEM, click("< Prev")) == RESULTS
    assert page(*SUB, click("< Prev")) == ITEM


def test_prev_on_a_product_unselects_and_on_its_sub_page_does_not():
    bought = (click("red"), click("large"))
    again = (click("< Prev"), click("B000000001"))
    assert played((*TO_ITEM, *bought, click("Buy Now"))).reward == 1.0
    assert played((*TO_ITEM, *bought, *again, click("Buy Now"))).reward == pytest.approx(2 / 4)
    assert played((*TO_ITEM, *bought, click("Features"), click("< Prev"), click("Buy Now"))).reward == 1.0


def test_a_later_option_of_the_same_name_replaces_the_earlier():
    assert (
        played((*TO_ITEM, click("red"), click("large"), click("dark blue"), click("Buy Now"))).reward == 0.75
    )


def test_option_names_of_an_earlier_product_stay_valid_until_the_next_search():
    then_tea = (click("< Prev"), *[click("Next >")] * 3, click("B00000000B"))
    assert page(*TO_ITEM, *then_tea, click("large")) == "WEB PAGE: {You have clicked large.}"
    anew = (click("Back to Search"), *NO_OPTIONS)
    assert page(*TO_ITEM, *anew, click("large")) == "WEB PAGE: {No option_types.}"


def test_attributes_are_behind_a_button_that_is_not_shown():
    shown = page(*TO_ITEM, click("Attributes"))
    assert "\n machine wash \n quick drying \ngarden \nbath towels \n\n" in shown
    assert shown.endswith(" Home  Bath  Towels }")


@pytest.mark.parametrize("query", ["a/b", "", ".", "..", "[red", "[]", "[1]", "<c>"])
def test_queries_that_the_url_loses_show_an_empty_page(query):
    assert page(search(query)) == "WEB PAGE: {}"
    assert server_keywords(query) is None


@pytest.mark.parametrize(
    ("query", "keywords"),
    [
        ("red shoes", ("red shoes",)),
        ("<c> lights", ("<c> lights",)),
        ("['<c>','lights']", ("<c>", "lights")),
        ("['red shoes']", ("red+shoes",)),
        ("['red', 'shoes']", None),  # the URL makes the space a plus sign
    ],
)
def test_a_query_is_one_keyword_unless_it_is_a_list(query, keywords):
    assert server_keywords(query) == keywords


def test_the_site_itself_knows_reset_and_explains_its_format():
    shown = interface("agentlite")
    there = ShopSession("results", query="x", number=1)
    assert (
        shown.command(TOWEL, there, "reset[]").observation == "WEB PAGE: {Let us begin shopping \n[Search]}"
    )
    assert shown.command(TOWEL, there, "buy it") == (there, INCORRECT_FORMAT, 0.0, False)


# AgentLite: what the agent writes


@pytest.mark.parametrize(
    ("text", "name", "argument"),
    [
        ('click[{"button": "Buy Now"}]', "click", "Buy Now"),
        ('  click[{"button": "x"}]  ', "click", "x"),
        ('search[{"product": "x"}].', "search", "x"),
        ('search[{"product": "x"}]:', "search", "x"),
        (': search[{"product": "x"}]', None, ""),
        ('search[{"product": "x"}]\nObservation: …', "search", "x"),
        ('search[{"product": "a]b[c"}]', "search", "a]b[c"),
        ('search[ {"product": 5} ]', "search", "5"),
        ('search[{"product": null}]', "search", "None"),
        ('Think[{"anything": 1, "else": []}]', "Think", ""),
        ('Finish[{"response": "done"}]', "Finish", "done"),
        ("click[Buy Now]", None, ""),
        ("click[]", None, ""),
        ("reset[]", None, ""),
        ('\nclick[{"button": "x"}]', None, ""),
        ('Action:click[{"button": "x"}]', None, ""),
        ('Plan[{"response": "x"}]', None, ""),
        ('click[{"product": "x"}]', None, ""),
        ('click[{"button": "x", "y": 1}]', None, ""),
        ('click["x"]', None, ""),
        ("click[" + "[" * 100_000 + "]", None, ""),
        ("click[" + "9" * 10_000 + "]", None, ""),
    ],
)
def test_actions_are_parsed_into_a_name_and_an_argument(text, name, argument):
    assert parse_action(text) == (name, argument)


def test_what_can_not_be_parsed_is_answered_and_changes_nothing():
    assert page("click[Buy Now]") == WRONG_ACTION
    assert page(search("bath towel"), "nonsense", click("B000000001")) == ITEM
    assert page(*TO_ITEM, THINK, click("large")) == "WEB PAGE: {You have clicked large.}"


def test_thinking_is_a_step_of_its_own():
    assert played((THINK,)) == ("OK", 0.0, False)


def test_buying_ends_the_episode_and_finishing_without_buying_is_worth_nothing():
    assert played((*TO_ITEM, click("Buy Now"))) == ("shopping is finished.", 0.5, True)
    assert played((*TO_ITEM, FINISH)) == ("I give up.", 0.0, True)


# The official text environment


def test_text_pages():
    head = f"Instruction: [SEP] {TOWEL.instruction} [SEP] Back to Search [SEP] "
    assert webshop(interface("text")).reset(TOWEL.id) == (
        f"WebShop [SEP] Instruction: [SEP] {TOWEL.instruction} [SEP] Search"
    )
    assert page("search[tea]", "click[b00000000b]", shown="text") == head + (
        "< Prev [SEP] Tea [SEP] Price: $5.0 [SEP] Rating: N.A. [SEP] Description [SEP] Features "
        "[SEP] Reviews [SEP] Buy Now"
    )
    features = ("search[bath towel]", "click[b000000001]", "click[features]")
    # a bullet without text is an empty field, one of a line break alone is nothing
    assert page(*features, shown="text") == head + "< Prev [SEP] Soft and fluffy [SEP]  [SEP] Machine wash"


def test_text_rich_lists_clicked_options_in_page_order_last_clicked_first():
    chosen = ("search[bath towel]", "click[b000000001]", "click[red]", "click[large]")
    shown = page(*chosen, shown="text_rich")
    assert shown.startswith(
        f"You have clicked red.\nYou have clicked large.\nInstruction:\n{TOWEL.instruction}\n"
    )
    assert "size\n  [button] small [button_]\n  [clicked button] large [clicked button_]\n" in shown
    assert "\n\n[clicked button] B000000001 [clicked button_]\n" in page(
        *chosen, "click[< prev]", shown="text_rich"
    )


def test_text_rich_never_marks_what_json_writes_otherwise():
    accents = ("search[édition]", "click[b000000004]", "click[café]")
    assert "[button] café [button_]" in page(*accents, shown="text_rich")
    quotes = ("search[beach]", "click[b000000002]", 'click[the "best"]')
    assert '[button] the "best" [button_]' in page(*quotes, shown="text_rich")


def test_text_rich_marks_an_option_whose_word_the_query_holds_in_quotes():
    shown = page('search["large" bath towel]', "click[b000000001]", shown="text_rich")
    assert "[clicked button] large" in shown and "[button] x-large" in shown


@pytest.mark.parametrize(
    ("actions", "same_as"),
    [
        (("search[tea]", "foo"), ("search[tea]",)),
        (("search[tea]", "click[search]"), ("search[tea]",)),
        (("search[tea]", "search[]"), ("search[tea]",)),
        (("search[tea]", " click[next >]"), ("search[tea]",)),
        (("search[tea]", "click[a][next >]"), ("search[tea]",)),
        (("search[TEA] and so on",), ("search[tea]",)),
        (("search[tea]", "click[b00000000b]", "search[lamp]"), ("search[lamp]",)),
        (("search[tea]", "click[B00000000B]", "click[< prev]"), ("search[tea]",)),
        (("Thought: tea\nAction: search[tea]",), ("search[tea]",)),
        (("Thought: tea\nAction: search[x]\nno\n Action: search[tea]\n",), ("search[tea]",)),
        (("search[tea]", "click[next >]", "click[< prev]"), ("search[tea]",)),
        # the server takes a page for a results page if the query says so
        (
            ("search[search_results]", "click[next >]", "click[b000000004]", "click[< prev]"),
            ("search[search_results]",),
        ),
    ],
)
def test_official_actions(actions, same_as):
    assert page(*actions, shown="text") == page(*same_as, shown="text")


def test_each_page_lists_what_can_be_clicked():
    shown = interface("text")

    def here(*actions):
        session = ShopSession()
        for action in actions:
            session = shown.act(TOWEL, session, action).session
        return list(shown.pages.clickables(session))

    assert here() == ["search"]
    assert here("search[tea]")[:3] == ["back to search", "next >", "b00000000b"]
    assert here("search[tea]", "click[next >]")[:3] == ["back to search", "< prev", "next >"]
    item = ["back to search", "< prev", "description", "features", "reviews", "buy now"]
    assert here("search[bath towel]", "click[b000000001]") == [
        *item,
        "small",
        "large",
        "x-large",
        "red",
        "dark blue",
    ]
    # an option called like a button is that button
    assert here("search[rack]", "click[b000000006]") == [*item, "color"]
    assert here("search[tea]", "click[b00000000b]", "click[features]") == ["back to search", "< prev"]
    assert here("search[tea]", "click[b00000000b]", "click[buy now]") == []


def test_the_receipt_tells_what_was_bought():
    bought = ("search[beach]", "click[b000000002]", "click[men's]", "click[buy now]")
    shown = played(bought, shown="text")
    assert shown.done
    assert (
        '[SEP] asin [SEP] B000000002 [SEP] options [SEP] {"style": "men\\u0027s"} [SEP] attrs'
        in shown.observation
    )
    assert f"Your score (min 0.0, max 1.0) [SEP] {shown.reward} [SEP]" in shown.observation


# Skills, limits, cache


@pytest.mark.parametrize(
    ("shown", "switches", "next_action", "back_action"),
    [
        ("agentlite", {}, click("Next >"), click("Back to Search")),
        ("agentlite", {"arrows": False}, click("Next"), click("Back to Search")),
        ("text", {}, "Thought: more\nAction: click[Next >]", "click[back to search]"),
        ("text_rich", {}, "click[next >]", "click[Back to Search]"),
    ],
)
def test_skills_find_their_actions_and_no_other(shown, switches, next_action, back_action):
    skills = interface(shown, **switches).skills
    done = (next_action, back_action, 'Think[{"response": "I should click Next >"}]')
    history = History("t", "", tuple(Step("", action) for action in done))
    assert [*skills["Next"](history)] == [0] and [*skills["Back"](history)] == [1]


def test_cache_is_bounded_and_forgets_the_oldest():
    cache = StepCache(size=2)
    env = webshop(interface("text"), cache)
    env.reset(TOWEL.id)
    states = []
    for action in ("search[tea]", "click[next >]", "click[next >]"):
        env.step(action)
        states.append(env.snapshot())
    assert [cache.get(state) is None for state in states] == [True, False, False]
    assert env.restore(states[0]) == page("search[tea]", shown="text")


def test_a_finished_state_can_be_shown_and_not_left():
    env = webshop(interface("agentlite"))
    assert env.restore(State(TOWEL.id, (*TO_ITEM, click("Buy Now")))) == "shopping is finished."
    with pytest.raises(RuntimeError, match="reset"):
        env.step(THINK)
