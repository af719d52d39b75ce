"""Workspaces of dummy notebooks: the pipeline's tests need stages, not agents."""

from __future__ import annotations

from pathlib import Path

import nbformat

RESERVED = """
run: str = "lab"  # results/<run>/ is written
label: str = ""  # place in the plan, filled by the pipeline
inputs: str = ""  # what is read, filled by the pipeline
"""

KNOBS = {
    "02_expert": "tasks: int = 4  # tasks tried\nseed: int = 0  # of every draw\ndata: str = ''  # folder of the data",
    "03_select": "iteration: int = 1  # i in Algorithm 1",
    "04_train": "epochs: int = 1  # passes\nlearning_rate: float = 1.0e-3  # peak\nseed: int = 0  # of every draw",
    "05_explore": "samples: int = 1  # rollouts a state\nM: int = 1  # states simulated\nseed: int = 0  # of every draw",
    "06_evaluate": "split: str = 'dev'  # panel\ngreedy: bool = True  # or sampled",
    "07_report": "title: str = 'a run'  # heading",
    "08_preferences": "pairs: str = 'trajectory'  # what is compared",
    "09_dpo": "beta: float = 0.1  # how near to stay",
    "11_search": "critic: str = 'tiny'  # who ranks\nK: int = 3  # proposals a node\nsimulations: int = 4  # a task",
    "12_pairs": "kind: str = 'node'  # what is compared\nreplay: int = 0  # earlier rounds",
    "13_decide": "split: str = 'dev'  # panel\ncritic: str = 'tiny'  # who ranks\nsignal: str = 'critic'  # what search may know",
    "14_tune": "critic: str = 'tiny'  # who learns\nepochs: int = 1  # passes",
}

PLAY = """
pause: float = 0.0  # seconds a step
steps: int = 2  # steps to take
trouble: str = ""  # how to fail
"""

OPEN = """
from eefcore.runs import open_stage
stage, p = open_stage("{name}", globals())
"""

WORK = """
import json, os, time, zlib
read = {name: json.loads((folder / "value.json").read_text()) for name, folder in stage.inputs.items()}
if trouble == "raise":
    raise ValueError("the first line\\n" + "\\n".join(f"line {i}" for i in range(20)))
if trouble == "die":
    os._exit(9)
def step(items):
    time.sleep(pause)
    bar(len(items))
    return [len(read) * i for i in items]
bar = stage.progress(steps, "steps")
values = stage.journal("values", type=int).run(range(steps), 1, step, on_resume=bar)
(stage.folder / "value.json").write_text(
    json.dumps(zlib.crc32(repr((stage.notebook, sorted(stage.params.items()), read, values)).encode()))
)
"""

FINISH = """
if trouble != "leave open":
    stage.log({"value": float(sum(values))})
    stage.finish()
"""

DEMO = """
run: demo
shared: {seed: 3}
stages:
  train: {epochs: 2, learning_rate: 5.0e-5}
methods:
  SFT POS: {iterations: 1}
  RFT×6: {iterations: 3, explore: {samples: 6, M: 0}}
  EEF: {iterations: 2, explore: {M: 5}}
"""


def notebook(*cells: str, parameters: str) -> nbformat.NotebookNode:
    """Return a notebook with a parameters cell and code cells."""
    first = nbformat.v4.new_code_cell(parameters.strip(), metadata={"tags": ["parameters"]})
    return nbformat.v4.new_notebook(
        cells=[first, *(nbformat.v4.new_code_cell(cell.strip()) for cell in cells)],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )


def write_notebook(folder: Path, name: str, *cells: str, parameters: str) -> Path:
    """Write `folder`/notebooks/`name`.ipynb with `parameters` and the reserved ones."""
    path = folder / "notebooks" / f"{name}.ipynb"
    path.parent.mkdir(exist_ok=True)
    nbformat.write(notebook(*cells, parameters=RESERVED + parameters), path)
    return path


def write_params(folder: Path, text: str, name: str = "demo") -> Path:
    """Write `folder`/params/`name`.yaml."""
    path = folder / "params" / f"{name}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def write_workspace(folder: Path) -> Path:
    """Write eight stages that add up their inputs, and the params of three methods."""
    for name, knobs in KNOBS.items():
        write_notebook(folder, name, OPEN.format(name=name), WORK, FINISH, parameters=f"{knobs}{PLAY}")
    return write_params(folder, DEMO)
