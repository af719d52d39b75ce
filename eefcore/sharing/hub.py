"""Push a trained model or adapter to the Hugging Face hub, with its card."""

from __future__ import annotations

import tempfile
from pathlib import Path

from eefcore.errors import HubError, PolicyError
from eefcore.sharing.model_card import CARD, hub_base, model_card
from eefcore.training.model_files import ADAPTER_WEIGHTS, check_weights, is_adapter
from eefcore.training.models import load_model, save_model

FILES = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt")
"""What is pushed beside the card: weights and tokenizer, and nothing else that may lie in the folder."""


def push_model(folder: Path, repository: str, *, merge: bool = False, private: bool = True) -> str:
    """Push the model that a stage keeps in `folder` to `repository` on the hub; return the address of the commit.

    A card is written for the upload where the folder has none. The repository is made if it is not there.

    Args:
        folder: `results/<run>/<stage>-<hash>/model`.
        repository: a name on the hub, `name` or `owner/name`.
        merge: merge an adapter into its base, and push one whole model.
        private: a repository that is made now is private.

    Raises:
        StoreError: no finished stage keeps this model.
        PolicyError: the weights are no whole safetensors; an adapter's base is no model of the hub, and it is not merged.
        HubError: there is no token, no network, or the hub refuses.
    """
    from huggingface_hub import CommitOperationAdd, HfApi, get_token

    card = (folder / CARD).read_text("utf-8") if (folder / CARD).is_file() else model_card(folder)
    adapter = is_adapter(folder)
    check_weights(folder, ADAPTER_WEIGHTS if adapter else "model*.safetensors")
    if adapter and not merge and not hub_base(folder):
        raise PolicyError(
            f"{folder}: expected an adapter on a model of the hub, got one on a model of this machine, which nobody else "
            "could load; push it with --merge, as one whole model"
        )
    api = HfApi(token=get_token())
    if not api.token:
        raise HubError(
            f"eef push {repository}: expected a token of the hub that may write, found none; set HF_TOKEN, or run "
            "`hf auth login`. The model stays where it is"
        )
    with tempfile.TemporaryDirectory() as temporary:
        if merge and adapter:
            model, tokenizer = load_model(folder, merge=True)
            save_model(model, tokenizer, folder := Path(temporary))
            card = card.replace("library_name: peft", "library_name: transformers")
        files = sorted(p for p in folder.iterdir() if any(map(p.match, FILES)))
        sent = [CommitOperationAdd(p.name, p) for p in files] + [CommitOperationAdd(CARD, card.encode())]
        try:
            kept = api.create_repo(repository, private=private, exist_ok=True).repo_id
            commit = api.create_commit(kept, sent, commit_message="Model trained by eefcore")
        except Exception as error:  # of two libraries: no network, no right, no such name
            raise HubError(
                f"eef push {repository}: {api.endpoint} can't take it: {_first_line(error)}; check the name, that the token "
                "may write there, and the network (HF_ENDPOINT names another hub, HF_HUB_OFFLINE forbids all), and push again"
            ) from error
    return str(commit.commit_url)


def _first_line(error: Exception) -> str:
    text = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
