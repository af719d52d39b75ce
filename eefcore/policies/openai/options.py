"""Read `openai:<base url>#<model>?<options>`, the name of a model behind the OpenAI interface.

    openai:http://localhost:8000/v1#my-model
    openai:http://localhost:8000/v1#my-model?server=vllm&tokenizer=results/lab/train.1-0a1b2c3d/model
    openai:https://api.openai.com/v1#gpt-4?prices=30/60&budget=25

A key is no option: it is read from the environment and written nowhere.
"""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from eefcore.errors import PolicyError
from eefcore.policies.openai import answers
from eefcore.policies.openai.prices import Account, Price, read_price
from eefcore.policies.settings import Count, read_options
from eefcore.storage.hashing import digest

Server = Literal["openai", "vllm", "sglang", "llamacpp"]
Positive = Annotated[float, Meta(gt=0)]
Variable = Annotated[str, Meta(pattern=r"^[A-Za-z_]\w*$")]

_EXAMPLE = "openai:http://localhost:8000/v1#llama"


class EndpointOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The options of a model behind the OpenAI interface.

    Attributes:
        server: the kind of server; vllm, sglang and llamacpp take token ids, if there is a tokenizer.
        tokenizer: the model's, by a folder from the workspace or a stored or hub name. Token ids go out, in any format, and
            the ids sampled come back. Without one text or messages do, and the endpoint's own counts are what a result costs.
        key: the name of the environment variable that holds the key.
        prices: dollars per million tokens read/written, 30/60, also for several models, gpt-4=30/60,gpt-3.5=0.5/1.5, or a
            YAML file of such lines from the workspace.
        budget: dollars that may be paid for this model in this workspace, all runs together; None is no limit.
        cache: whether answers are kept and used again for equal requests; None keeps those of server openai and those with
            a price, since the weights of a server of your own may change under one name.
        timeout: seconds until a request is given up.
        attempts: how often a request is sent that fails for a reason that may pass.
    """

    server: Server = "openai"
    tokenizer: str = ""
    key: Variable = "OPENAI_API_KEY"
    prices: str = ""
    budget: Positive | None = None
    cache: bool | None = None
    timeout: Positive = 120.0
    attempts: Count = 5

    @property
    def keeps_answers(self) -> bool:
        """Return whether answers are kept for reruns."""
        return self.server == "openai" or bool(self.prices) if self.cache is None else self.cache


class Endpoint(NamedTuple):
    """A model behind the OpenAI interface: where it is, what it is called there, and how it is asked."""

    base_url: str
    model: str
    options: EndpointOptions
    price: Price | None

    @property
    def account(self) -> Account | None:
        """Return the account that pays for its answers, in a file of the workspace; None if they have no price."""
        if self.price is None:
            return None
        payments = answers.answers_folder() / f"payments-{digest(self.base_url, self.model)[:16]}.jsonl"
        return Account(payments, self.price, self.options.budget)

    @property
    def cache(self) -> answers.AnswerCache | None:
        """Return what keeps its answers for reruns; None if none are kept."""
        return answers.AnswerCache(answers.answers_folder()) if self.options.keeps_answers else None


def read_endpoint(spec: str) -> Endpoint:
    """Return the endpoint that `openai:<base url>#<model>?<options>` names, with its options and prices checked.

    Raises:
        PolicyError: it is no address, an option does not exist or does not fit, or the model has no price.
    """
    base_url, _, name = spec.partition(":")[2].partition("#")
    model, _, query = name.partition("?")
    try:
        url = urlsplit(base_url)
        valid = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0 and not url.query
    except ValueError:  # a port that is not a number
        valid = False
    if valid and url.username is not None:
        raise PolicyError(
            f"an address of openai: holds a name or a key before {url.hostname!r}; keep it in the environment variable "
            "OPENAI_API_KEY, or in another that the option key names"
        )
    if not valid or not model:
        raise PolicyError(f"{spec!r} should be openai:<base url>#<model>?<options>, as {_EXAMPLE}")
    where = repr(f"openai:{base_url}#{model}")  # without the options, should one of them be a key
    options = read_options(where, "openai", query, EndpointOptions, example=f"{_EXAMPLE}?server=vllm")
    if options.tokenizer and options.server == "openai":
        raise PolicyError(
            f"{where}: a tokenizer is for a server that takes token ids; add server=vllm, sglang or llamacpp, or leave "
            "the tokenizer out, and the endpoint's own counts are what a result costs"
        )
    price = read_price(options.prices, model) if options.prices else None
    if options.budget is not None and price is None:
        raise PolicyError(
            f"{where}: a budget needs prices, as in ?prices=30/60&budget=25 (dollars per million tokens read/written)"
        )
    return Endpoint(base_url.rstrip("/"), model, options, price)
