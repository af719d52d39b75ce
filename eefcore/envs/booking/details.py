"""Check the details form of a reservation: what is wrong with a name, a phone number or an e-mail address, in words."""

from __future__ import annotations

import re
from collections.abc import Mapping

from eefcore.envs.booking.records import Guest, phone_digits

LONGEST = 100
"""Characters of a field at most; the fields say so as well."""

_PHONE = re.compile(r"[0-9 ()+./-]+")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")


def read_guest(fields: Mapping[str, str]) -> Guest:
    """Return the guest that a form names, with white space put in order."""
    name, phone, email = (" ".join(fields.get(f, "").split())[:LONGEST] for f in ("name", "phone", "email"))
    return Guest(name, phone, email)


def guest_errors(guest: Guest) -> dict[str, str]:
    """Return what is wrong with the details of a guest, by field; nothing if they can be used."""
    errors = {}
    if sum(c.isalpha() for c in guest.name) < 2:
        errors["name"] = "Please enter a name."
    if not _PHONE.fullmatch(guest.phone) or not 7 <= len(phone_digits(guest.phone)) <= 15:
        errors["phone"] = "Please enter a phone number with 7 to 15 digits."
    if not _EMAIL.fullmatch(guest.email):
        errors["email"] = "Please enter an e-mail address, as in name@example.com."
    return errors
