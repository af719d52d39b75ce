"""The booking site: a restaurant-reservation site of our own, its tasks, and an exact grader (Agent Q §6 and Appendix B).

`site.make_app` is the site, `database.Database` what one visit changes, `world` what never changes. `tasks` draws what users ask
for, `user` answers questions, and `grading` compares the rows at the end with the task. A `BookingBenchmark` makes tasks and
environments; `BookingSite` is one of these, an agent in front of a browser.
"""

from eefcore.envs.booking.benchmark import BookingBenchmark
from eefcore.envs.booking.database import Database
from eefcore.envs.booking.env import BookingSite
from eefcore.envs.booking.grading import Grade, grade
from eefcore.envs.booking.records import Booking, Guest, Reservation, Setting
from eefcore.envs.booking.site import make_app
from eefcore.envs.booking.tasks import Goal, Task
from eefcore.envs.booking.world import World, make_world

__all__ = [
    "Booking",
    "BookingBenchmark",
    "BookingSite",
    "Database",
    "Goal",
    "Grade",
    "Guest",
    "Reservation",
    "Setting",
    "Task",
    "World",
    "grade",
    "make_app",
    "make_world",
]
