from .opening import NotebookStage as NotebookStage
from .opening import make_smoke_inputs as make_smoke_inputs
from .opening import open_stage as open_stage
from .plan import Node as Node
from .planning import plan_report as plan_report
from .planning import plan_run as plan_run
from .planning import plan_suite_file as plan_suite_file
from .runner import run as run
