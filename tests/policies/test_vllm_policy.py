from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from importlib.util import find_spec

import pytest

if find_spec("vllm") is None:
    pytest.skip("vllm is not installed; it has an environment of its own on CPUs", allow_module_level=True)

import psutil
import torch
from helpers.served_models import save_base_and_adapter

from eefcore.errors import PolicyError
from eefcore.policies import vllm
from eefcore.policies.hf_engine.policy import HFPolicy
from eefcore.policies.settings import VLLMOptions
from eefcore.policies.vllm import VLLMPolicy
from eefcore.protocols import Sampling
from eefcore.testing import PolicyContract, answer_all, play_turns
from eefcore.training.canary import check_canary, read_canary
from eefcore.types import History, StopReason

# An engine warns of many things that are not ours, and takes half a minute to start.
pytestmark = [pytest.mark.vllm, pytest.mark.filterwarnings("ignore")]

HISTORIES = tuple(
    History(f"t{i}", "find a " + "soft " * (3 * i % 7) + "towel").then("next", "page 2") for i in range(5)
)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The folder of a base; `adapter_of` is that of its adapter of rank 64."""
    folder = tmp_path_factory.mktemp("models")
    save_base_and_adapter(folder, rank=64)
    return folder / "base"


def adapter_of(saved):
    return saved.parent / "stage" / "model"


@pytest.fixture(scope="module")
def served(saved):
    """One engine for all tests, with an adapter."""
    policy = VLLMPolicy.load(
        saved,
        adapter=adapter_of(saved),
        engine=VLLMOptions(dtype="float32"),
        format="compact",
        max_new_tokens=24,
        context=256,
    )
    yield policy
    policy.engine.close()


class TestVLLMPolicy(PolicyContract):
    histories = HISTORIES

    @pytest.fixture(autouse=True)
    def _engine(self, served):
        self.engine = served

    def make(self):
        return VLLMPolicy(self.engine.engine, self.engine.renderer, max_new_tokens=24)


@pytest.mark.parametrize("adapter", [False, True], ids=["the base", "an adapter of rank 64"])
def test_vllm_and_transformers_write_the_same_greedy_actions(saved, served, adapter):
    path = adapter_of(saved) if adapter else None
    theirs = VLLMPolicy(served.engine, served.renderer, adapter=path, max_new_tokens=24)
    ours = HFPolicy.load(saved, adapter=path, max_new_tokens=24)
    greedy = [Sampling()] * len(HISTORIES)
    said, expected = (play_turns(p, HISTORIES, greedy, turns=3) for p in (theirs, ours))
    for i, history in expected.items():
        assert said[i].actions == history.actions
        for a, b in zip(said[i].steps[1:], history.steps[1:], strict=True):
            assert a.tokens == b.tokens and a.logps == pytest.approx(b.logps, abs=1e-4)
    assert sum(map(len, expected.values())) > 2 * len(HISTORIES)


def test_sampled_log_likelihoods_are_those_of_transformers_at_temperature_1(saved, served):
    """Draws differ between engines, so what vLLM sampled is scored again by transformers."""
    theirs = VLLMPolicy(served.engine, served.renderer, adapter=adapter_of(saved), max_new_tokens=24)
    model = HFPolicy.load(saved, adapter=adapter_of(saved), max_new_tokens=24).model
    questions = {i: (h, Sampling(temperature=0.7, seed=i)) for i, h in enumerate(HISTORIES)}
    for i, reply in answer_all(theirs, questions).items():
        prompt = served.renderer.encode(HISTORIES[i]).tokens
        ids = torch.tensor([[*prompt, *reply.tokens]])
        with torch.no_grad():
            logps = model(ids).logits[0, len(prompt) - 1 : -1].float().log_softmax(-1)
        expected = logps.gather(-1, torch.tensor(reply.tokens)[:, None])[:, 0].tolist()
        assert reply.logps == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_an_action_that_has_choices_is_one_of_them(served, temperature):
    choices = ("1", "2", "buy red hat", "buy hat")
    questions = {i: (h, Sampling(temperature, i, choices)) for i, h in enumerate(HISTORIES)}
    theirs = VLLMPolicy(served.engine, served.renderer, max_new_tokens=24)
    replies = answer_all(theirs, questions).values()
    assert {reply.action for reply in replies} <= {*choices} and {reply.stop for reply in replies} == {None}


def test_equal_seeds_sample_equal_actions_and_other_seeds_others(served):
    asked = {
        (i, seed): (HISTORIES[0], Sampling(temperature=1.0, seed=seed)) for i in range(2) for seed in range(3)
    }
    replies = answer_all(served, asked)
    assert all(replies[0, seed].tokens == replies[1, seed].tokens for seed in range(3))
    assert len({replies[0, seed].tokens for seed in range(3)}) > 1


def test_an_episode_goes_on_while_another_is_still_written(saved, served):
    """The short answer comes back first, and its next turn is asked while the long one is under way."""
    policy = VLLMPolicy(served.engine, served.renderer, max_new_tokens=200)
    history, seeds = History("t", "find a towel"), range(100)
    replies = answer_all(policy, {i: (history, Sampling(temperature=2.0, seed=i)) for i in seeds})
    by_length = sorted(seeds, key=lambda i: len(replies[i].tokens))
    assert len(replies[by_length[0]].tokens) * 4 < len(replies[by_length[-1]].tokens)
    quick, endless = (Sampling(temperature=2.0, seed=by_length[i]) for i in (0, -1))
    policy.ask("long", history, endless)
    order = []
    policy.ask("short", history, quick)
    while len(order) < 4:
        for episode, _ in policy.answers():
            order.append(episode)
            if episode == "short" and order.count("short") < 3:
                policy.ask("short", history, quick)
    assert order.index("long") > 1


def test_a_closed_episode_uses_the_engine_no_more(served):
    policy = VLLMPolicy(served.engine, served.renderer, max_new_tokens=60)
    policy.ask("dropped", HISTORIES[0], Sampling(temperature=2.0, seed=1))
    policy.close("dropped")
    assert policy.answers() == []
    assert answer_all(policy, {"e": (HISTORIES[1], Sampling())})["e"].tokens
    assert not served.engine.llm.llm_engine.has_unfinished_requests()


def test_the_prefix_cache_finds_pages_shorter_than_128_tokens(served):
    policy = VLLMPolicy(served.engine, served.renderer, max_new_tokens=8)
    history = History("t", "a page that nobody has read before: " + "xyz " * 20)
    tokens = policy.length(history)
    assert 64 < tokens < 128
    for turn in range(2):
        before = policy.tokens_read
        answer_all(policy, {turn: (history, Sampling(seed=turn))})
        assert policy.tokens_read - before == (tokens if turn == 0 else tokens % 32 or 32)


def test_a_model_that_truncates_its_own_draws_is_sampled_whole(saved, served):
    """`generation_config.json` of Llama-3-Instruct asks for top-p 0.9; the likelihoods would not be those of the draw."""
    assert served.engine.llm.model_config.generation_config == "vllm"


def test_every_policy_has_an_adapter_number_of_its_own(saved, served):
    numbers = {
        VLLMPolicy(served.engine, served.renderer, adapter=adapter_of(saved))._lora.lora_int_id
        for _ in range(3)
    }
    assert len(numbers) == 3 and served._lora.lora_int_id not in numbers


def test_a_full_context_ends_with_context_limit(served):
    long = History("t", "soft " * 60)
    assert answer_all(served, {"e": (long, Sampling())})["e"].stop is StopReason.CONTEXT_LIMIT


@pytest.mark.parametrize("adapter", [False, True], ids=["the base", "an adapter"])
def test_the_engine_gives_the_saved_text_what_transformers_gives_it(saved, served, adapter):
    path = adapter_of(saved) if adapter else saved
    policy = VLLMPolicy(served.engine, served.renderer, adapter=path if adapter else None)
    canary = read_canary(path)
    assert check_canary(canary, policy.score(canary.tokens), dtype=served.engine.dtype, model="m") < 1e-4


def test_an_engine_with_other_weights_is_refused(saved, served, monkeypatch):
    """As if vLLM had served the base under the adapter's name."""
    monkeypatch.setattr(vllm, "start_engine", lambda *_, **__: served.engine)
    VLLMPolicy.load(saved, adapter=adapter_of(saved), format="compact")
    monkeypatch.setattr(vllm, "_lora_request", lambda adapter: None)
    with pytest.raises(PolicyError, match="model: the engine answers with other weights"):
        VLLMPolicy.load(saved, adapter=adapter_of(saved), format="compact")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"r": 1024}, "rank 512 at most, got 1024"),
        ({"use_dora": True}, "no adapter with use_dora"),
        ({"modules_to_save": ["lm_head"]}, "no adapter with modules_to_save"),
    ],
)
def test_an_adapter_that_vllm_can_not_serve_is_refused_with_the_reason(saved, tmp_path, change, message):
    folder = tmp_path / "adapter"
    shutil.copytree(adapter_of(saved), folder)
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | change))
    with pytest.raises(PolicyError, match=message):
        VLLMPolicy.load(saved, adapter=folder)


def test_an_adapter_of_a_larger_rank_than_the_option_is_refused(saved):
    with pytest.raises(PolicyError, match="rank 16 at most, got 64; raise max_lora_rank"):
        VLLMPolicy.load(saved, adapter=adapter_of(saved), engine=VLLMOptions(max_lora_rank=16))


PROGRAM = """
import signal, sys
from pathlib import Path
from eefcore.policies.settings import VLLMOptions
from eefcore.policies.vllm import VLLMPolicy
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    policy = VLLMPolicy.load(Path(sys.argv[1]), context=256)
    print("serves", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_an_engine_ends_with_the_process_that_started_it(saved, tmp_path, how):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    process = subprocess.Popen(
        [sys.executable, program, saved],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert any(b"serves" in line for line in process.stdout)
        engines = psutil.Process(process.pid).children(recursive=True)
        assert any(os.getpgid(engine.pid) == engine.pid for engine in engines)
        process.send_signal(how)
        process.wait(timeout=60)
        _, alive = psutil.wait_procs(engines, timeout=2)
        assert [p for p in alive if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []
    finally:
        process.kill()
        process.communicate()


def test_an_interrupt_of_the_notebooks_group_leaves_the_engine_alone(saved, tmp_path):
    """JupyterLab interrupts the whole process group of a kernel."""
    program = tmp_path / "program.py"
    program.write_text(
        # The handler is there before "serves" is printed: the interrupt may follow that line at once.
        PROGRAM.replace(
            'print("serves", flush=True)',
            """
    import signal, time
    from eefcore.protocols import Sampling
    from eefcore.types import History
    interrupts = []
    signal.signal(signal.SIGINT, lambda *_: interrupts.append("SIGINT"))
    print("serves", flush=True)
    while not interrupts:
        time.sleep(0.05)
    policy.ask(1, History("t", "find a towel"), Sampling())
    print("answers", len(policy.answers()), flush=True)
""".strip(),
        )
    )
    process = subprocess.Popen(
        [sys.executable, program, saved],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        assert any(b"serves" in line for line in process.stdout)
        os.killpg(process.pid, signal.SIGINT)
        assert any(b"answers 1" in line for line in process.stdout)
    finally:
        process.kill()
        process.communicate()
