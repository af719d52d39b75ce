"""Define the errors that the library raises on purpose, each named by the boundary where it arises.

Every message says where, what was expected and what was got, and what to do next.
"""

import difflib
from collections.abc import Iterable

import msgspec

UNDECODABLE = (ValueError, RecursionError, msgspec.MsgspecError)
"""What reading JSON or YAML from elsewhere may raise: no text, no JSON, other fields, or brackets a thousand deep."""


def suggest(name: str, names: Iterable[str]) -> str:
    """Return words for the end of a message that name the nearest of `names`; nothing if none is near."""
    near = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""


class EefError(Exception):
    """Any error that this package raises on purpose."""


class EpisodeOver(EefError, RuntimeError):
    """`step` was called after the environment said done, or before `reset`."""


class ReplayMismatch(EefError, RuntimeError):
    """A restored environment does not show what was recorded."""


class UnknownTask(EefError, KeyError):
    """The benchmark has no task of this id."""

    __str__ = Exception.__str__


class DataError(EefError, ValueError):
    """A file from outside (catalogue, goals, foreign trajectories) does not have the expected content."""


class StoreError(EefError, RuntimeError):
    """A file of eefcore can't be read or written: it is torn, of another format, or there is no space or permission."""


class StageBusy(StoreError):
    """Another process works on the same stage."""


class SimulatorError(EefError, RuntimeError):
    """A simulator in another process can't be started, or has stopped answering."""


class BrowserError(SimulatorError):
    """A browser can't be started or has ended, or a site does not answer as a site should."""


class NoVerdict(SimulatorError):
    """The judge whose verdict is the reward gave none, so that the episode has no reward and is in no denominator."""


class CardMismatch(EefError, ValueError):
    """Records of different environments would be mixed; their cards differ."""


class LeakageError(EefError, ValueError):
    """A test task is among the training tasks."""


class MaskError(EefError, ValueError):
    """A training row would train nothing, or something that is not its action."""


class DivergenceError(EefError, ArithmeticError):
    """A loss or a gradient is no longer a finite number, so the model that is trained is spoiled."""


class DriftError(EefError, ValueError):
    """Log-likelihoods that are stored with the data differ from those that the trainer computes."""


class ParamsError(EefError, ValueError):
    """A params file does not fit the notebooks that it is for."""


class StageFailed(EefError, RuntimeError):
    """A stage notebook stopped with an error; its executed copy is kept."""


class PolicyError(EefError, RuntimeError):
    """A policy can't answer: no such model, an endpoint that refuses, a vocabulary that does not fit."""


class RegistryError(PolicyError):
    """The package that holds a model can't be fetched: no registry is reached, or it has no such package."""


class HubError(EefError, RuntimeError):
    """The Hugging Face hub can't be reached, gives no right to write, or refuses what is pushed."""


class FormatError(PolicyError):
    """A dialogue can't be written in a format: the chat template rewrites an action or a page of it."""


class TrackingError(EefError, RuntimeError):
    """W&B can't be reached or has no key; the local record is complete without it."""
