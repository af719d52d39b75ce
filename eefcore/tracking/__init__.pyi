from .code import code_of as code_of
from .stage import Bar as Bar
from .stage import Stage as Stage
from .stage import sync as sync
from .wandb_run import SyncReport as SyncReport
