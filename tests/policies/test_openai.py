from __future__ import annotations

import pytest
from helpers.recorded_endpoint import prompt_text, recorded_endpoint
from helpers.toy_shop import TASKS, ToyShop, shopper

from eefcore import envs
from eefcore.errors import PolicyError
from eefcore.experts.collect import demonstrations, task_starts
from eefcore.policies import PolicySettings, load_policy
from eefcore.policies.scripted import ScriptedPolicy
from eefcore.rollout.rollout import Start, rollout
from eefcore.storage.cost import rollout_cost
from eefcore.types import History

FORMATS = ("chat", "agentlite", "compact", "composite")


def toy_episodes(tasks=TASKS):
    starts = [Start(History(task, ToyShop().reset(task))) for task in tasks]
    return rollout(ScriptedPolicy(shopper, "shopper"), ToyShop, starts, max_turns=9)


@pytest.mark.parametrize("format", FORMATS)
def test_a_recorded_endpoint_plays_the_episodes_of_an_expert_again(format):
    world = envs.load("webshop_mini", sizes="6/2/2", seed=3)
    recorded = demonstrations(world, ["strong"], "train", seed=0)
    with recorded_endpoint(recorded) as endpoint:
        policy = load_policy(f"openai:{endpoint.url}#some-model", PolicySettings(format=format))
        starts = [Start(h) for h in task_starts(world, world.tasks("train"))]
        played = rollout(policy, world.make, starts, max_turns=world.max_turns)
    assert [(t.actions, t.reward) for t in played] == [(t.actions, t.reward) for t in recorded]
    assert len(endpoint.requests) == sum(map(len, recorded))


def test_a_recorded_endpoint_refuses_a_dialogue_that_it_has_not_recorded():
    with recorded_endpoint(toy_episodes(TASKS[:1])) as endpoint:
        policy = load_policy(f"openai:{endpoint.url}#some-model", PolicySettings(format="chat"))
        with pytest.raises(PolicyError, match="this dialogue was not recorded"):
            rollout(policy, ToyShop, [Start(History(TASKS[3], ToyShop().reset(TASKS[3])))], max_turns=3)


@pytest.mark.parametrize("format", ["chat", "agentlite"])
def test_an_episode_records_the_tokens_that_the_endpoint_counted(format):
    with recorded_endpoint(recorded := toy_episodes()) as endpoint:
        policy = load_policy(f"openai:{endpoint.url}#some-model", PolicySettings(format=format))
        starts = [Start(History(task, ToyShop().reset(task))) for task in TASKS]
        played = rollout(policy, ToyShop, starts, max_turns=9)
    for t in played:
        prompts = [
            prompt_text(r.body)
            for r in endpoint.requests
            if t.history.at(0).observation in prompt_text(r.body)
        ]
        assert t.tokens_written == sum(len(action.split()) for action in t.actions)
        assert len(prompts) == len(t) and t.tokens_read == sum(len(prompt.split()) for prompt in prompts)
    cost = rollout_cost(played, policy.length)
    assert (cost.tokens_read, cost.tokens_written) == (policy.tokens_read, policy.tokens_written)
    assert cost.env_steps == sum(map(len, recorded))
