"""Keep runs on disk: stage folders, resumable journals, typed records, content hashes and costs.

Only this package knows where things lie. A finished stage is a folder under its final name.
"""

from eefcore.storage.cost import Cost, rollout_cost, total_cost
from eefcore.storage.records import Records, read_records, write_records
from eefcore.storage.stages import StageRecord, finished_stages, list_runs, read_record, run_folder

__all__ = [
    "Cost",
    "Records",
    "StageRecord",
    "finished_stages",
    "list_runs",
    "read_record",
    "read_records",
    "rollout_cost",
    "run_folder",
    "total_cost",
    "write_records",
]
