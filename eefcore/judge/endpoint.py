"""Check the endpoint that a judge is named by, without loading what asks it."""

from __future__ import annotations

from eefcore.errors import PolicyError
from eefcore.policies.openai.options import read_endpoint


def check_judge(spec: str) -> None:
    """Refuse a judge that could not be asked, as far as that is known before anything starts.

    Raises:
        PolicyError: it is no endpoint, or one that is to get token ids, which hold no picture.
    """
    if not spec.startswith("openai:"):
        raise PolicyError(
            f"judge {spec!r}: expected openai:<base url>#<model>?<options>; a judge answers behind an OpenAI-compatible endpoint"
        )
    if read_endpoint(spec).options.tokenizer:
        raise PolicyError(f"judge {spec!r}: pictures can't be sent as token ids; leave the tokenizer out")
