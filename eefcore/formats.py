"""How a history is written for a language model: h_t as pieces of text, a_t marked.

    agentlite   one growing prompt, `Action:…` / `Observation: …`, as both papers ran their experts
    chat        the same turns through a tokenizer's own chat template, for instruct models
    compact     the same turns with no prompt text, for the tiny model, which knows the rules

One renderer serves rollout, training and evaluation (`eefcore.masking.Renderer`). The pieces of h_t
are a prefix of the pieces of h_{t+1}, so nothing that was read is ever read anew.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import msgspec

from eefcore.errors import PolicyError
from eefcore.types import Example, History, Step


class Piece(NamedTuple):
    """A stretch of the dialogue; `action` is i when it is a_i, and None when the policy only reads it."""

    text: str
    action: int | None = None


class Format(Protocol):
    """A way to write histories."""

    name: str
    end: str
    """What closes an action. The policy writes it, and training teaches it."""

    def pieces(self, history: History) -> list[Piece]:
        """h_t, ending where the policy must write a_t. Action pieces come without `end`."""


def conditioned(history: History, phrase: str) -> History:
    """h_t as if o_0 ended with a line that says `phrase`; an empty phrase says nothing (NAT).

    NAT tells good trajectories from bad ones by a phrase in the prompt. It goes after the task, so that every
    format and chat template has a place for it.
    """
    if not phrase:
        return history
    if not history.steps:
        return msgspec.structs.replace(history, observation=f"{history.observation}\n{phrase}")
    first, *rest = history.steps
    said: Step = msgspec.structs.replace(first, observation=f"{first.observation}\n{phrase}")
    return msgspec.structs.replace(history, steps=(said, *rest))


def dialogue(example: Example) -> History:
    """What is written of an example: all up to its last trained action, as its phrase conditions it."""
    return conditioned(example.trajectory.history.at(example.trained.stop), example.phrase)


class Turns:
    """Prompt, o_0, a_0, o_1, a_1, …, each between fixed words."""

    def __init__(self, name: str, *, prompt: str, first: str, then: str, end: str) -> None:
        self.name, self.end = name, end
        self._first, self._then = prompt + first, then

    def pieces(self, history: History) -> list[Piece]:
        """h_t as it would be printed."""
        observations = [*(s.observation for s in history.steps), history.observation]
        out = [Piece(self._first.format(observations[0]))]
        for i, step in enumerate(history.steps):
            out += [Piece(step.action, i), Piece(self._then.format(observations[i + 1]))]
        return out


class Chat:
    """The turns of a dialogue through `tokenizer.apply_chat_template`: o_t is the user's, a_t the assistant's.

    Raises:
        PolicyError: the template rewrites earlier turns (some drop old thoughts), so that h_t would
            not be a prefix of h_{t+1}.
    """

    name = "chat"

    def __init__(self, tokenizer: Any, *, prompt: str) -> None:
        self._tokenizer, self._prompt = tokenizer, prompt
        opened = self._render([("user", "o"), ("assistant", "a")], generate=False)
        asked = self._render([("user", "o")], generate=True)
        if not opened.startswith(asked + "a"):
            raise PolicyError(
                f"the chat template of {tokenizer.name_or_path} puts {opened[len(asked) :][:40]!r} where the "
                "assistant's words were expected; use format: agentlite"
            )
        self._suffix = opened[len(asked) + 1 :]
        self.end = self._suffix.rstrip("\n") or "\n"

    def pieces(self, history: History) -> list[Piece]:
        """h_t, each piece what the template adds for one turn."""
        observations = [*(s.observation for s in history.steps), history.observation]
        turns = [("user", self._prompt + observations[0])]
        text = self._render(turns, generate=True)
        out = [Piece(text)]
        for i, step in enumerate(history.steps):
            turns += [("assistant", step.action), ("user", observations[i + 1])]
            longer = self._render(turns, generate=True)
            read = text + step.action + self.end
            if not longer.startswith(read):
                raise PolicyError(
                    f"the chat template of {self._tokenizer.name_or_path} rewrites turn {i} once turn {i + 1} "
                    "is there, so no cache and no mask can be right; use format: agentlite"
                )
            out += [Piece(step.action, i), Piece(longer[len(read) :])]
            text = longer
        return out

    def _render(self, turns: list[tuple[str, str]], *, generate: bool) -> str:
        messages = [{"role": role, "content": content} for role, content in turns]
        return self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=generate)


SHOP_PROMPT = """\
You are an agent who shops on a website for a user. You see the website as text and act by calling one action a turn.

[Role]
Find the product that meets every requirement of the task, choose its options, and buy it.

[Constraint]
Write one action and nothing else. Think before you decide; a thought is an action too.
A button can only be clicked when it is shown between square brackets. Buying ends the task.

[Action_Doc]
search[{{"product": words}}] looks for products by words; only on the page that has [Search].
click[{{"button": name}}] clicks a button, a product id or an option of the page.
Think[{{"response": words}}] says what you see and what you plan.
Finish[{{"response": words}}] ends the task.

[Example]
Task:i need a small white cotton towel, and price lower than 20.00 dollars
Action:Think[{{"response": "I should first search for a small white cotton towel."}}]
Observation: OK
Action:search[{{"product": "small white cotton towel"}}]
Observation: WEB PAGE: {{\\n[Back to Search] \\nPage 1 (Total results: 15) \\n[Next >] \\n[B000000001] \\nBath Towel, Cotton \\n$12.0 }}
Action:Think[{{"response": "The first product is a cotton towel for 12 dollars, so I should open it."}}]
Observation: OK
Action:click[{{"button": "B000000001"}}]
Observation: WEB PAGE: {{\\n[Back to Search] \\n[< Prev] \\nsize [small][large]\\ncolor [white][blue]\\nBath Towel, Cotton \\nPrice: $12.0 \\n[Buy Now] }}
Action:click[{{"button": "small"}}]
Observation: WEB PAGE: {{You have clicked small.}}
Action:click[{{"button": "white"}}]
Observation: WEB PAGE: {{You have clicked white.}}
Action:click[{{"button": "Buy Now"}}]
Observation: shopping is finished.

[Execution]
"""

AGENTLITE = Turns(
    "agentlite", prompt=SHOP_PROMPT, first="Task:{}\nAction:", then="Observation: {}\nAction:", end="\n"
)
COMPACT = Turns("compact", prompt="", first="{}\n> ", then="{}\n> ", end="\n")


def format_named(name: str, tokenizer: Any = None) -> Format:
    """The format of that name; `chat` needs the tokenizer whose template it speaks."""
    known = {"agentlite": AGENTLITE, "compact": COMPACT}
    if name == "chat":
        return Chat(tokenizer, prompt=SHOP_PROMPT.replace("{{", "{").replace("}}", "}") + "Task:")
    if name not in known:
        raise PolicyError(f"no format {name!r}; choose one of {', '.join((*known, 'chat'))}")
    return known[name]
