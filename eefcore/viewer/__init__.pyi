from .notebook import TrajectoriesView as TrajectoriesView
from .notebook import view_stage as view_stage
from .run_page import run_page as run_page
