"""A scripted concierge for the booking site, which solves every task through the pages."""

from eefcore.experts.booking.concierge import Concierge
from eefcore.experts.booking.experts import EXPERTS

__all__ = ["EXPERTS", "Concierge"]
