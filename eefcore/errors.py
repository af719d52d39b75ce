"""What can go wrong, named by the boundary it crossed.

Every message says where, what was expected against what was got, and what to do next.
"""


class EefError(Exception):
    """Any error this package raises on purpose."""


class EpisodeOver(EefError, RuntimeError):
    """`step` was called after the environment said done, or before `reset`."""


class ReplayMismatch(EefError, RuntimeError):
    """A restored environment does not show what was recorded."""


class UnknownTask(EefError, KeyError):
    """A task id the benchmark does not hold."""

    __str__ = Exception.__str__


class DataError(EefError, ValueError):
    """A file from outside (catalogue, goals, foreign trajectories) is not what it should be."""


class StoreError(EefError, RuntimeError):
    """A record of ours can't be read or written: torn, of another schema, no space, no permission."""


class StageBusy(StoreError):
    """Another process works on the stage."""


class SimulatorError(EefError, RuntimeError):
    """A simulator in another process can't be started, or has stopped answering."""


class CardMismatch(EefError, ValueError):
    """Records of different environment cards were about to be mixed."""


class LeakageError(EefError, ValueError):
    """A test task is among the training tasks."""


class MaskError(EefError, ValueError):
    """A training row would train nothing, or something that is not its action."""


class DriftError(EefError, ValueError):
    """Log-likelihoods stored with the data are not those that the trainer computes."""


class ParamsError(EefError, ValueError):
    """A params file does not fit the notebooks it is for."""


class StageFailed(EefError, RuntimeError):
    """A stage notebook stopped with an error; its executed copy is kept."""


class PolicyError(EefError, RuntimeError):
    """A policy can't answer: no such model, an endpoint that refuses, a vocabulary that does not fit."""


class FormatError(PolicyError):
    """One dialogue can't be written in a format: an action or a page of it is rewritten by the chat template."""


class TrackingError(EefError, RuntimeError):
    """W&B can't be asked for something: no key. The local record is complete without it."""
