"""What of a method its stages, and what each of them reads, follow from; all else is in parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from eefcore import policies
from eefcore.errors import ParamsError, PolicyError
from eefcore.runs.notebook import Notebook
from eefcore.runs.params import Method, Params, Values
from eefcore.search.critics import check_critic, is_tunable
from eefcore.variables import expand_variables


class Outline(NamedTuple):
    """How a method goes on.

    Attributes:
        iterations: I.
        replay: rounds before the newest whose trees, or simulations, pairs are made of as well.
        tunes: the critic learns from each search, and whoever asks it next asks that one.
        decides: the test panel is played with search.
    """

    iterations: int
    replay: int
    tunes: bool
    decides: bool


def outline(params: Params, notebooks: Mapping[str, Notebook], method: Method) -> Outline:
    """What `method` asks for; a parameter of a stage that it does not have asks for nothing.

    Raises:
        ParamsError: `replay` is below 0, no critic is there to be tuned, or a model that no stage could load.
    """
    where = f"{params.path}: methods.{method.name}"
    values = {stage: params.values(notebooks[stage], method) for stage in method.stages}
    replay = int(values.get("pairs", {}).get("replay", 0))
    if replay < 0:
        raise ParamsError(f"{where}.pairs.replay: must be a number of rounds from 0 on, got {replay}")
    if "tune" in values:
        if "search" not in values or method.iterations == 1:
            raise ParamsError(
                f"{where}.tune: a critic learns from searches; name search as well, with 2 iterations or more"
            )
        critics = {
            stage: values[stage].get("critic") for stage in ("search", "tune", "decide") if stage in values
        }
        for stage, critic in critics.items():
            if not is_tunable(str(expand_variables(critic))):
                raise ParamsError(
                    f"{where}.tune: critic {critic!r} of {stage} has no weights of its own to tune; name a model"
                )
        if len({*critics.values()}) > 1:
            raise ParamsError(f"{where}.tune: one critic is tuned, got {critics}; name it once, in shared")
    _check_models(where, values, params.values(notebooks["train"], method))
    return Outline(method.iterations, replay, "tune" in values, "decide" in values)


def _check_models(where: str, values: Mapping[str, Values], train: Values) -> None:
    """Refuse models that would stop their stage, which may come hours after the first."""
    base = str(expand_variables(train.get("base", "")))
    if not policies.trainable(base):
        raise ParamsError(
            f"{where}.train: base {base!r} is only asked and has no weights here to train; name a model, as hf:… is"
        )
    for stage, own in values.items():
        if "critic" in own:
            try:
                check_critic(
                    str(expand_variables(own["critic"])),
                    format=str(expand_variables(own.get("format", "compact"))),
                )
            except PolicyError as error:
                raise ParamsError(f"{where}.{stage}: critic: {error}") from error
