"""Tokens per second of HFPolicy on ragged, many-turn episodes, as a ratio to transformers' `generate`.

    OMP_NUM_THREADS=1 python tests/benchmarks/bench_decode.py

A random Llama of the tiny model's shape plays episodes of 4 to 12 turns. Words stand for observations;
one word in 15 closes an action, so that actions have about 15 tokens. Both sides play the same
episodes, each drawing its own actions:

    generate   batches of the same size, padded on the left; every turn reads the whole history anew and
               lasts until the longest action of its batch is through
    HFPolicy   as a rollout drives it

`ratio` is of useful written tokens a second, all overhead included. Two more figures take HFPolicy apart:
fresh prompts that are only read, and a full batch that only writes. Seconds are the process's own (CPU
time of its one thread), so that other work on the machine disturbs little; wall time is shown as well.
"""

from __future__ import annotations

import argparse
import time
from typing import NamedTuple

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from eefcore.policies.hf_engine.policy import HFPolicy
from eefcore.protocols import Sampling
from eefcore.rendering.formats import TurnFormat
from eefcore.rendering.renderer import Renderer
from eefcore.types import History

VOCABULARY, MEAN_ACTION, MAX_NEW = 3500, 15, 64
FORMAT = TurnFormat("words", prompt="", first="{}", then="{}", end="\n")


class Episode(NamedTuple):
    """What the environment says, turn after turn, whatever it is told."""

    observations: list[str]


class Played(NamedTuple):
    """Useful tokens written, tokens read, and the time it took, on the processor and on the wall."""

    written: int
    read: int
    seconds: float
    wall: float

    @property
    def rate(self) -> float:
        """Tokens written a second."""
        return self.written / self.seconds


class Watch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._began = time.process_time(), time.perf_counter()

    def read(self) -> tuple[float, float]:
        """CPU time of this process, wall time."""
        return time.process_time() - self._began[0], time.perf_counter() - self._began[1]


def words_tokenizer() -> PreTrainedTokenizerFast:
    """One token a word, its closing space or newline included; one word in MEAN_ACTION has a newline."""
    vocabulary = {f"w{i}" + ("\n" if i % MEAN_ACTION == 0 else " "): i for i in range(VOCABULARY)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="w1 "))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"\S+\s"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def tiny_llama(key_heads: int) -> LlamaForCausalLM:
    """hidden 128, 4 layers, 4 heads, tied embeddings: 1.2 M parameters."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=key_heads,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config).eval()


def workload(episodes: int, seed: int = 0) -> list[Episode]:
    """4 to 12 turns; a first page of 60 to 140 words, later ones of 5 to 60."""
    rng = np.random.default_rng(seed)
    writable = [i for i in range(VOCABULARY) if i % MEAN_ACTION]

    def page(low: int, high: int) -> str:
        return "".join(f"w{i} " for i in rng.choice(writable, rng.integers(low, high)))

    return [
        Episode([page(60, 140), *(page(5, 60) for _ in range(rng.integers(3, 12)))]) for _ in range(episodes)
    ]


def by_policy(policy: HFPolicy, episodes: list[Episode]) -> Played:
    """As `eefcore.rollout.rollout` drives a policy; an action without an end is followed up all the same."""
    read, written, watch = policy.tokens_read, policy.tokens_written, Watch()
    histories = [History(str(i), e.observations[0]) for i, e in enumerate(episodes)]
    for i, history in enumerate(histories):
        policy.ask(i, history, Sampling(1.0, i))
    while answers := policy.answers():
        for i, reply in answers:
            turn = len(histories[i]) + 1
            if turn == len(episodes[i].observations):
                policy.close(i)
                continue
            seen = episodes[i].observations[turn]
            histories[i] = histories[i].then(reply.action or "w1", seen, reply.tokens, reply.logps)
            policy.ask(i, histories[i], Sampling(1.0, i))
    return Played(policy.tokens_written - written, policy.tokens_read - read, *watch.read())


@torch.inference_mode()
def by_generate(model: LlamaForCausalLM, renderer: Renderer, episodes: list[Episode], batch: int) -> Played:
    """Static batches, turn by turn."""
    ends = [i for i in range(VOCABULARY) if i % MEAN_ACTION == 0]
    torch.manual_seed(0)
    read = written = 0
    watch = Watch()
    for first in range(0, len(episodes), batch):
        rows = episodes[first : first + batch]
        histories = {i: History(str(i), e.observations[0]) for i, e in enumerate(rows)}
        while histories:
            prompts = {i: renderer.encode(h).tokens for i, h in histories.items()}
            longest = max(map(len, prompts.values()))
            ids = torch.zeros(len(prompts), longest, dtype=torch.long)
            mask = torch.zeros_like(ids)
            for row, prompt in enumerate(prompts.values()):
                ids[row, longest - len(prompt) :] = torch.tensor(prompt)
                mask[row, longest - len(prompt) :] = 1
            said = model.generate(
                ids,
                attention_mask=mask,
                do_sample=True,
                top_k=0,
                max_new_tokens=MAX_NEW,
                eos_token_id=ends,
                pad_token_id=ends[0],
            )[:, longest:].tolist()
            read += sum(map(len, prompts.values()))
            for i, tokens in zip(list(prompts), said, strict=True):
                n = next((k + 1 for k, t in enumerate(tokens) if t % MEAN_ACTION == 0), len(tokens))
                written += n
                turn = len(histories[i]) + 1
                if turn == len(rows[i].observations):
                    del histories[i]
                else:
                    histories[i] = histories[i].then("w1", rows[i].observations[turn], tuple(tokens[:n]), ())
    return Played(written, read, *watch.read())


def pure(model: LlamaForCausalLM, rows: int, *, prompt: int, written: int) -> Played:
    """Fresh prompts of one length, each followed by so many tokens; nothing ends before that."""
    endless = TurnFormat("endless", prompt="", first="{}", then="{}", end="@")
    policy = HFPolicy(
        model,
        Renderer(words_tokenizer(), endless),
        slots=rows,
        max_new_tokens=written,
        context=prompt + written,
    )
    for i in range(rows):
        policy.ask(i, History(str(i), "w1 " * prompt), Sampling(1.0, i))
    watch = Watch()
    while policy.answers():
        pass
    return Played(policy.tokens_written, policy.tokens_read, *watch.read())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--episodes", type=int, default=256)
    parser.add_argument("--slots", type=int, default=64)
    parser.add_argument("--key-heads", type=int, default=4)
    args = parser.parse_args()
    torch.set_num_threads(1)
    renderer, model = Renderer(words_tokenizer(), FORMAT), tiny_llama(args.key_heads)
    episodes = workload(args.episodes)
    policy = HFPolicy(model, renderer, slots=args.slots, max_new_tokens=MAX_NEW)
    by_policy(policy, episodes[:16])  # warm up
    reading = pure(model, args.slots, prompt=300, written=1)
    both = pure(model, args.slots, prompt=200, written=128)
    writing = both.written / (both.seconds - reading.seconds * both.read / reading.read)
    print(f"only reading {reading.read / reading.seconds:8.0f} tokens/s, prompts of 300")
    print(f"only writing {writing:8.0f} tokens/s, {args.slots} rows, contexts of 200 to 328")
    ours = by_policy(policy, episodes)
    theirs = by_generate(model, renderer, episodes[: 2 * args.slots], args.slots)
    print(f"{'':10s} {'written':>8s} {'read':>8s} {'CPU s':>8s} {'wall s':>8s} {'written/s':>10s}")
    for name, it in (("HFPolicy", ours), ("generate", theirs)):
        print(f"{name:10s} {it.written:8d} {it.read:8d} {it.seconds:8.2f} {it.wall:8.2f} {it.rate:10.0f}")
    print(f"ratio {ours.rate / theirs.rate:.1f}")


if __name__ == "__main__":
    main()
