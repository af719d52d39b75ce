"""Keep runs on disk: stage folders, resumable journals, typed records, content hashes and costs.

Only this package knows where things lie. A finished stage is a folder under its final name.
"""

from eefcore.storage.cost import Cost, mean_cost, rollout_cost, total_cost
from eefcore.storage.hashing import cache_folder, digest, hash_file, hash_folder
from eefcore.storage.journal import Journal
from eefcore.storage.metrics_log import Metric, MetricsLog
from eefcore.storage.records import Header, Records, read_records, write_records
from eefcore.storage.stage_inputs import StageInputs
from eefcore.storage.stages import (
    StageLock,
    StageRecord,
    finished_stages,
    is_finished,
    list_runs,
    read_record,
    results_root,
    run_folder,
    stage_folder,
    workspace,
)

__all__ = [
    "Cost",
    "Header",
    "Journal",
    "Metric",
    "MetricsLog",
    "Records",
    "StageInputs",
    "StageLock",
    "StageRecord",
    "cache_folder",
    "digest",
    "finished_stages",
    "hash_file",
    "hash_folder",
    "is_finished",
    "list_runs",
    "mean_cost",
    "read_record",
    "read_records",
    "results_root",
    "rollout_cost",
    "run_folder",
    "stage_folder",
    "total_cost",
    "workspace",
    "write_records",
]
