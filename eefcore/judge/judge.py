"""Ask a vision-language model behind an OpenAI-compatible endpoint for its verdict on an episode.

Prices, budgets, kept answers, pauses and repeats are those of every endpoint (`eefcore.policies.openai`). The question is
greedy, so a rerun reads kept answers. Where the endpoint gives none, or its answer holds no verdict, there is none: that is
counted and is never a verdict of failure.
"""

from __future__ import annotations

import hashlib
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from msgspec.structs import replace

from eefcore.evaluation.criteria import GENERAL
from eefcore.judge.endpoint import check_judge
from eefcore.judge.prompt import Evidence, messages, prompt_version
from eefcore.judge.verdict import Judgement, read_verdict
from eefcore.policies.openai.client import Client, NoAnswer
from eefcore.policies.openai.interface import Ending, QuestionInterface
from eefcore.policies.openai.options import read_endpoint
from eefcore.protocols import Benchmark, Criteria
from eefcore.storage.cost import Cost

MAX_NEW_TOKENS = 1024
"""For the reasoning and the verdict; a model's thoughts count as well."""


class Judge:
    """A judge behind an endpoint, `openai:<base url>#<model>?<options>`; several threads may ask it.

    Attributes:
        judgements: what it said of each episode it was asked about, in the order of the answers.

    Raises:
        PolicyError: no endpoint is named; the endpoint refuses (from `ask`).
    """

    def __init__(self, spec: str, criteria: Mapping[str, str] = GENERAL, *, concurrency: int = 8) -> None:
        check_judge(spec)
        endpoint = read_endpoint(spec)
        self.model, self.criteria, self.judgements = endpoint.model, criteria, list[Judgement]()
        self._interface = QuestionInterface(endpoint.base_url, endpoint.model, MAX_NEW_TOKENS)
        self._client = Client(
            self._interface,
            concurrency=concurrency,
            timeout=endpoint.options.timeout,
            attempts=endpoint.options.attempts,
            longest_pause=60.0,
            key_variable=endpoint.options.key,
            account=endpoint.account,
            cache=endpoint.cache,
        )
        self._concurrency, self._lock = concurrency, threading.Lock()

    def ask(self, evidence: Evidence) -> Judgement:
        """Return the verdict on one episode, or the record of why there is none."""
        judgement = self._judgement(evidence)
        with self._lock:
            self.judgements.append(judgement)
            while self._client.notices:
                warnings.warn(self._client.notices.pop(0), stacklevel=2)
        return judgement

    def ask_all(
        self, episodes: Sequence[Evidence], on_verdict: Callable[[], None] = lambda: None
    ) -> list[Judgement]:
        """Return the verdicts on several episodes, in their order; as many are asked for at a time as the endpoint may get."""
        out: list[Judgement] = []
        with ThreadPoolExecutor(self._concurrency, thread_name_prefix="judge") as pool:
            for judgement in pool.map(self.ask, episodes):
                out.append(judgement)
                on_verdict()
        return out

    def _judgement(self, evidence: Evidence) -> Judgement:
        request = self._interface.request(messages(evidence, self.criteria))
        blank = Judgement(
            evidence.history.task_id,
            None,
            picture=hashlib.sha256(evidence.picture).hexdigest() if evidence.picture is not None else "",
            prompt=prompt_version(self.criteria),
            model=self.model,
        )
        try:
            answer = self._client.answer(request)
        except NoAnswer as error:
            return replace(blank, reason=error.reason)
        account = self._client.account
        money = account.price.of(*self._client.paid_tokens(request, answer)) if account else 0.0
        read, written = answer.tokens_read, answer.tokens_written
        asked = replace(blank, tokens_read=read, tokens_written=written, money=money)
        if answer.ending is not Ending.WHOLE:
            return replace(asked, reason=f"the answer was {answer.ending.value}")
        try:
            return replace(asked, verdict=read_verdict(answer.text, tuple(self.criteria)))
        except ValueError as error:
            return replace(asked, reason=str(error))


def load_judge(spec: str | None, benchmark: Benchmark, *, concurrency: int = 8) -> Judge | None:
    """Return the judge that `spec` names, with the criteria of the benchmark; None if it names none.

    Raises:
        PolicyError: it is no endpoint.
    """
    if spec is None:
        return None
    criteria = benchmark.criteria if isinstance(benchmark, Criteria) else GENERAL
    return Judge(spec, criteria, concurrency=concurrency)


def judging_cost(judge: Judge | None) -> Cost:
    """Return what a judge's answers cost when they were first given: tokens and dollars; nothing without a judge."""
    said = judge.judgements if judge else []
    return Cost(
        tokens_read=sum(j.tokens_read for j in said),
        tokens_written=sum(j.tokens_written for j in said),
        money=sum(j.money for j in said),
    )


def judge_counts(judge: Judge | None) -> dict[str, int]:
    """Return how many episodes a judge was asked about and to how many it gave no verdict, by the logged keys; nothing without one."""
    if judge is None:
        return {}
    missing = sum(j.verdict is None for j in judge.judgements)
    return {"judge/asked": len(judge.judgements), "judge/no_verdict": missing}
