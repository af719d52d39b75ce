"""Prices, budgets, kept answers and keys of models behind the OpenAI interface."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from helpers.recorded_endpoint import Answer, Endpoint, Received, completion, recorded_endpoint
from helpers.search_toys import Dice
from helpers.toy_shop import TASKS, ToyShop, shopper

from eefcore.errors import ParamsError, PolicyError
from eefcore.policies import PolicySettings, load_policy
from eefcore.policies.loading import check_policy
from eefcore.policies.openai.answers import AnswerCache
from eefcore.policies.openai.prices import Account, BudgetSpent, Price, read_price
from eefcore.policies.scripted import ScriptedPolicy
from eefcore.policies.settings import read_engine
from eefcore.protocols import Sampling
from eefcore.rollout.rollout import Start, rollout
from eefcore.search.critic import load_critic
from eefcore.search.scheduler import run_requests
from eefcore.storage.cost import rollout_cost
from eefcore.testing import answer_all
from eefcore.tracking.stage import check_portable
from eefcore.types import History, StopReason

STARTS = [Start(History(task, ToyShop().reset(task)), Sampling(0.7, i)) for i, task in enumerate(TASKS)]
EPISODES = rollout(ScriptedPolicy(shopper, "shopper"), ToyShop, STARTS, max_turns=9)
PRICED = "prices=30/60"
CHAT = PolicySettings(format="chat", slots=4)


def play(endpoint: Endpoint, options: str = "", settings: PolicySettings = CHAT):
    policy = load_policy(f"openai:{endpoint.url}#gpt-4" + (f"?{options}" if options else ""), settings)
    return rollout(policy, ToyShop, STARTS, max_turns=9), policy


# Prices ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["30/60", "gpt-4=30/60", "gpt-3.5=0.5/1.5, gpt-4=30/60", "prices.yaml"])
def test_a_price_is_one_of_a_table_or_of_a_file(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("prices.yaml").write_text("gpt-3.5: 0.5/1.5\ngpt-4: 30/60\n")
    assert read_price(text, "gpt-4") == Price(30.0, 60.0)
    assert read_price(text, "gpt-4").of(1_000_000, 500_000) == 60.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("prices=gpt-4o=5/15", "no price of 'gpt-4'; there are gpt-4o; did you mean 'gpt-4o'"),
        ("prices=30", "dollars per million tokens read/written"),
        ("prices=-1/2", "dollars per million tokens read/written"),
        ("prices=nan/inf", "dollars per million tokens read/written"),
        ("prices=nowhere.yaml", "nowhere.yaml can't be read"),
        ("budget=5", "a budget needs prices"),
        ("prices=30/60&budget=0", "Expected `float` > 0"),
        ("price=30/60", "unknown field `price`.*openai takes server, tokenizer.*did you mean 'prices'"),
        ("server=vlm", "Invalid enum value 'vlm'"),
        ("tokenizer=tiny", "a tokenizer is for a server that takes token ids"),
        ("attempts=0", "attempts"),
    ],
)
def test_options_are_checked_before_anything_starts(options, message):
    with pytest.raises(PolicyError, match=message):
        check_policy(f"openai:https://host/v1#gpt-4?{options}", format="chat")


def test_what_answers_cost_is_in_the_record():
    with recorded_endpoint(EPISODES) as endpoint:
        played, policy = play(endpoint, PRICED)
    cost = rollout_cost(played, policy.length)
    expected = (30 * policy.tokens_read + 60 * policy.tokens_written) / 1e6
    assert cost.money == pytest.approx(expected) and cost.money > 0
    assert all(t.money > 0 for t in played) and sum(t.money for t in played) == pytest.approx(policy.money)


def test_a_critic_at_an_endpoint_costs_tokens_and_dollars():
    with Endpoint(lambda received: completion(received, "1")) as endpoint:
        critic = load_critic(f"openai:{endpoint.url}#judge?prices=30/60", Dice(), CHAT, seed=0)
        history = History("t", "a page")
        (ranking,) = run_requests([critic.ranking(history, ["next", "back", "buy"])], critic.policy)
    tally = ranking.tally
    assert tally.critic_asked == 2
    assert (tally.endpoint_read, tally.tokens_written) == (critic.policy.tokens_read, 2)
    assert tally.money == pytest.approx((30 * tally.endpoint_read + 60 * 2) / 1e6)


def test_an_answer_without_counts_costs_the_most_that_it_can():
    def answer(received: Received) -> Answer:
        return Answer({"choices": [{"text": "next", "finish_reason": "stop"}]})

    with Endpoint(answer) as endpoint:
        policy = load_policy(f"openai:{endpoint.url}#m?{PRICED}", PolicySettings())
        reply = answer_all(policy, {"e": (STARTS[0].history, Sampling())})["e"]
        size = len(json.dumps(endpoint.requests[0].body))
    assert reply.usage.money == pytest.approx((30 * size + 60 * 96) / 1e6)


# A budget ----------------------------------------------------------------------------------------------------


def full_cost() -> float:
    with recorded_endpoint(EPISODES) as endpoint:
        return play(endpoint, PRICED)[1].money


@pytest.mark.parametrize("slots", [1, 4])
def test_a_budget_is_never_overdrawn_and_a_rerun_with_a_larger_one_goes_on(slots):
    budget = full_cost() / 2 + 0.05
    settings = PolicySettings(format="chat", slots=slots)
    with recorded_endpoint(EPISODES) as endpoint:
        with pytest.warns(UserWarning, match=r"budget of .* for gpt-4 is spent .*raise budget and run again"):
            played, policy = play(endpoint, f"{PRICED}&budget={budget}", settings)
        ended = [t for t in played if t.stop is StopReason.MODEL_FAILURE]
        assert 0 < len(ended) < len(played) and policy.failures == len(ended)
        assert all(t.reason == f"the budget of ${budget:g} for gpt-4 is spent" for t in ended)
        assert 0 < policy.client.account.spent <= budget
        sent = len(endpoint.requests)

        again, policy = play(endpoint, f"{PRICED}&budget={10 * budget}", settings)
        assert [t.actions for t in again] == [t.actions for t in EPISODES] and policy.failures == 0
        assert (
            len(endpoint.requests) == sum(map(len, EPISODES)) > sent
        )  # what was paid for is not asked again


def test_a_spent_budget_sends_nothing():
    with recorded_endpoint(EPISODES) as endpoint:
        with pytest.warns(UserWarning, match="is spent"):
            played, _ = play(endpoint, f"{PRICED}&budget=0.0001")
        assert {t.stop for t in played} == {StopReason.MODEL_FAILURE} and endpoint.requests == []


def test_a_budget_is_of_all_runs_and_processes_of_a_workspace(tmp_path):
    path = tmp_path / "payments.jsonl"
    one, other = (Account(path, Price(10.0, 10.0), 1.0) for _ in range(2))
    one.pay(50_000, 40_000)
    assert other.spent == one.spent == pytest.approx(0.9)
    with pytest.raises(BudgetSpent), other.set_aside(0.2):
        pass
    with other.set_aside(0.05):
        other.pay(5_000, 0)
    assert Account(path, Price(10.0, 10.0)).spent == one.spent == pytest.approx(0.95)


@pytest.mark.parametrize(("paid", "allowed"), [(0.1, True), (0.6, False)])
def test_a_request_that_could_overdraw_the_budget_waits_for_those_under_way(tmp_path, paid, allowed):
    account, order = Account(tmp_path / "payments.jsonl", Price(1.0, 1.0), 1.0), []

    def other() -> None:
        try:
            with account.set_aside(0.6):
                order.append("sent")
        except BudgetSpent:
            order.append("refused")

    thread = threading.Thread(target=other)
    with account.set_aside(0.6):
        thread.start()
        thread.join(0.2)
        order.append("answered")
        account.pay(round(1e6 * paid), 0)
    thread.join(10)
    assert order == ["answered", "sent" if allowed else "refused"]


def test_a_payment_that_a_kill_cut_off_is_read_once_it_is_whole(tmp_path):
    path = tmp_path / "payments.jsonl"
    account = Account(path, Price(10.0, 10.0), 1.0)
    account.pay(10_000, 0)
    line = path.read_bytes()
    path.write_bytes(line + line[:5])
    assert account.spent == pytest.approx(0.1)
    path.write_bytes(line + line)
    assert account.spent == pytest.approx(0.2)


# Kept answers ------------------------------------------------------------------------------------------------


def test_a_rerun_asks_nothing_and_records_the_same():
    with recorded_endpoint(EPISODES) as endpoint:
        first, _ = play(endpoint, PRICED)
        sent = len(endpoint.requests)
        again, policy = play(endpoint, PRICED)
        assert again == first and len(endpoint.requests) == sent
        assert policy.client.account.spent == pytest.approx(sum(t.money for t in first))


@pytest.mark.parametrize(
    "other",
    [
        {"settings": PolicySettings(format="agentlite")},
        {"settings": PolicySettings(format="chat", max_new_tokens=50)},
        {"options": "cache=false"},
    ],
)
def test_another_request_is_asked(other):
    with recorded_endpoint(EPISODES) as endpoint:
        play(endpoint)
        sent = len(endpoint.requests)
        play(endpoint, **other)
        assert len(endpoint.requests) == 2 * sent


@pytest.mark.parametrize(("seed", "temperature", "asked"), [(3, 0.7, 1), (4, 0.7, 2), (3, 0.8, 2)])
def test_an_equal_seed_and_temperature_is_the_same_request(seed, temperature, asked):
    with Endpoint(lambda received: completion(received, "next")) as endpoint:
        for sampling in (Sampling(0.7, 3), Sampling(temperature, seed)):
            policy = load_policy(f"openai:{endpoint.url}#m", CHAT)
            answer_all(policy, {"e": (STARTS[0].history, sampling)})
        assert len(endpoint.requests) == asked


@pytest.mark.parametrize("bad", [Answer({}, 503), Answer(b"<html>"), Answer({"choices": []})])
def test_only_answers_are_kept(bad):
    with Endpoint(lambda _: bad) as endpoint:
        for _ in range(2):
            policy = load_policy(f"openai:{endpoint.url}#m?attempts=1", CHAT)
            answer_all(policy, {"e": (STARTS[0].history, Sampling())})
        assert len(endpoint.requests) == 2


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"choices": []}'])
def test_a_damaged_answer_is_asked_again_and_mended(damage, tmp_path, monkeypatch):
    monkeypatch.setattr("eefcore.policies.openai.answers.answers_folder", lambda: tmp_path)
    with Endpoint(lambda received: completion(received, "next")) as endpoint:
        for n in (1, 2, 2):
            policy = load_policy(f"openai:{endpoint.url}#m", CHAT)
            reply = answer_all(policy, {"e": (STARTS[0].history, Sampling())})["e"]
            assert (reply.action, len(endpoint.requests)) == ("next", n)
            (path,) = tmp_path.rglob("*.json")
            if n == 1:
                path.write_bytes(damage)


def test_processes_share_a_folder_of_answers(tmp_path):
    code = (
        "import sys; from pathlib import Path; from eefcore.policies.openai.answers import AnswerCache\n"
        "cache = AnswerCache(Path(sys.argv[1]))\n"
        "for n in range(200):\n"
        "    cache.keep('u', {'n': n % 5}, {'text': 'x' * 20000, 'n': n % 5})\n"
        "    assert cache.get('u', {'n': n % 5})['n'] == n % 5\n"
    )
    working = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) for _ in range(3)]
    assert [process.wait(timeout=120) for process in working] == [0, 0, 0]
    assert len([p for p in tmp_path.rglob("*") if p.is_file()]) == 5
    assert AnswerCache(tmp_path).get("other", {"n": 0}) is None


@pytest.mark.parametrize("folder", [None, "elsewhere"])
def test_answers_lie_in_the_results_or_where_the_variable_says(folder, tmp_path):
    code = "from eefcore.policies.openai.answers import answers_folder; print(answers_folder())"
    env = {"EEF_RESULTS": str(tmp_path / "results")} | (
        {"EEF_CACHE": str(tmp_path / folder)} if folder else {}
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    expected = tmp_path / folder / "answers" if folder else tmp_path / "results" / ".cache" / "answers"
    assert done.stdout.strip() == str(expected)


# Keys --------------------------------------------------------------------------------------------------------

KEY = "sk-secret-0123456789"


def test_a_key_is_sent_and_written_nowhere(tmp_path, monkeypatch):
    monkeypatch.setattr("eefcore.policies.openai.answers.answers_folder", lambda: tmp_path)
    monkeypatch.setenv("SOME_KEY", KEY)
    with recorded_endpoint(EPISODES) as endpoint:
        played, policy = play(endpoint, f"{PRICED}&key=SOME_KEY")
    assert {r.headers["Authorization"] for r in endpoint.requests} == {f"Bearer {KEY}"}
    files = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert files and not any(KEY.encode() in p.read_bytes() for p in files)
    assert KEY not in repr(played) and KEY not in repr([vars(policy), vars(policy.client)])


@pytest.mark.parametrize("status", [200, 400, 401, 429, 500])
def test_a_key_that_a_server_repeats_is_in_no_message_and_no_record(status, monkeypatch, capsys):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with Endpoint(lambda received: Answer({"error": f"bad key {KEY}"}, status)) as endpoint:
        policy = load_policy(f"openai:{endpoint.url}#m?attempts=1", CHAT)
        policy.ask("e", STARTS[0].history, Sampling())
        try:
            said = repr(policy.answers())
        except PolicyError as error:
            said = "".join(map(str, (error, error.__cause__, error.__context__)))
    assert KEY not in said and "bad key" in said


@pytest.mark.parametrize("key", [KEY, "sk-secret 0123"])
def test_a_key_is_in_no_message_about_a_server_that_serves_a_stage(key, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with Endpoint(lambda received: Answer({})) as endpoint:
        engine = read_engine(f"openai:{endpoint.url}")
        with pytest.raises(PolicyError) as caught:  # the stand-in answers POST alone
            load_policy("tiny", PolicySettings(engine=engine))
    assert "sk-secret" not in "".join(map(str, (caught.value, caught.value.__cause__)))


@pytest.mark.parametrize("key", ["sk-secret 123", "sk-secrët", "sk-sec\nret"])
def test_a_key_that_no_header_can_carry_is_refused_without_showing_it(key, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", key)
    policy = load_policy("openai:http://127.0.0.1:9/v1#m?attempts=1", CHAT)
    policy.ask("e", STARTS[0].history, Sampling())
    with pytest.raises(PolicyError, match="the key in OPENAI_API_KEY holds") as caught:
        policy.answers()
    assert "sec" not in str(caught.value)


def test_a_key_at_the_end_of_a_line_is_taken_without_the_line(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY + "\n")
    with Endpoint(lambda received: completion(received, "next")) as endpoint:
        answer_all(load_policy(f"openai:{endpoint.url}#m", CHAT), {"e": (STARTS[0].history, Sampling())})
    assert endpoint.requests[0].headers["Authorization"] == f"Bearer {KEY}"


def test_a_key_in_an_address_or_a_parameter_is_refused(monkeypatch):
    with pytest.raises(PolicyError, match="keep it in the environment variable") as caught:
        check_policy(f"openai:https://me:{KEY}@host/v1#m", format="chat")
    assert KEY not in str(caught.value)
    with pytest.raises(PolicyError, match="key") as caught:
        check_policy(f"openai:https://host/v1#m?key={KEY}", format="chat")
    assert KEY not in str(caught.value)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with pytest.raises(ParamsError, match="holds a secret"):
        check_portable({"expert": f"openai:https://host/v1#m?key={KEY}"})
