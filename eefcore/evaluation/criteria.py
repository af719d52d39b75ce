"""The criteria by which a judge decides whether an agent did what its user asked."""

from __future__ import annotations

from collections.abc import Mapping

RESERVATION: Mapping[str, str] = {
    "date_time": "the reservation is for the date and the time that the user asked for; where that time was not available, for "
    "the nearest one that was",
    "party_size": "the reservation is for as many people as the user asked for",
    "user_information": "name, phone number, e-mail address and wishes in the reservation are those of the user",
    "completed": "the agent completed the reservation, or the change or cancellation that the user asked for, and did not "
    "only prepare it",
}
"""Agent Q §6's four criteria of a reservation, all of which have to be met; a change or cancellation is judged by them as well."""

GENERAL: Mapping[str, str] = {
    "asked_for": "everything that the user asked for was done, and nothing that contradicts it",
    "completed": "the agent brought it to its end, and did not only prepare it",
}
"""The criteria of a benchmark that has none of its own."""
