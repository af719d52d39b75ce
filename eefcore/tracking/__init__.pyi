from .identity import code_of as code_of
from .stage import Bar as Bar
from .stage import Stage as Stage
from .wandb_run import SyncReport as SyncReport
from .wandb_run import sync as sync
