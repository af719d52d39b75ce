"""The metrics of the smoke run, under its fixed seed, are those in tests/golden/smoke_metrics.json.

A change that moves a result shows there as a difference to be reviewed. If it was decided, write the file again with
`PYTHONPATH=tests python tests/runs/test_smoke.py` and name the outcome in CHANGELOG.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from helpers.paths import GOLDEN, ROOT

from eefcore.runs import runner
from eefcore.runs.plan import methods_by_stage
from eefcore.runs.planning import plan_run
from eefcore.storage import stages

GOLDEN_FILE = GOLDEN / "smoke_metrics.json"
TOLERANCE = 1e-3  # relative: the last digits of a loss differ between processors

Metrics = dict[str, dict[str, object]]


def smoke_metrics() -> Metrics:
    """Run params/smoke.yaml, and return what each stage measured, but for its seconds."""
    nodes = plan_run(ROOT / "params" / "smoke.yaml")
    runner.run(nodes, resume="")
    serves = methods_by_stage(node.inputs for node in nodes)
    records = {" ".join((n.label, *serves[n])): stages.read_record(n.folder) for n in nodes}
    return {
        name: {key: value for key, value in record.metrics.items() if key != "cost/seconds"}
        for name, record in sorted(records.items())
    }


def close(expected: Mapping[str, object]) -> dict[str, object]:
    """The same metrics, floats as numbers that may differ in their last digits."""
    return {
        k: pytest.approx(v, rel=TOLERANCE, abs=1e-6) if isinstance(v, float) else v
        for k, v in expected.items()
    }


@pytest.mark.notebook
@pytest.mark.xdist_group("notebooks")
def test_the_smoke_run_measures_what_it_always_did(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setenv("EEF_RESULTS", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    measured, golden = smoke_metrics(), json.loads(GOLDEN_FILE.read_text())
    assert list(measured) == list(golden)
    for stage, metrics in golden.items():
        assert measured[stage] == close(metrics), stage


if __name__ == "__main__":
    GOLDEN_FILE.write_text(json.dumps(smoke_metrics(), indent=1, ensure_ascii=False) + "\n")
