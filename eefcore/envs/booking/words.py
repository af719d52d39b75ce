"""The vocabulary of the booking site: invented cities, districts, restaurants, guests and cuisines, in two halves.

No word of one half is in the other, so that a world made of the second half is unseen to an agent that was trained in the
first. Cuisines and time zones are real and shared.
"""

from __future__ import annotations

from typing import NamedTuple


class CityName(NamedTuple):
    """An invented city and the time zone that it lies in."""

    name: str
    zone: str


class Vocabulary(NamedTuple):
    """The words of one half: cities, districts, the two parts of a restaurant's name, and guests."""

    cities: tuple[CityName, ...]
    districts: tuple[str, ...]
    names: tuple[str, ...]
    first_names: tuple[str, ...]
    last_names: tuple[str, ...]


CUISINES = {
    "Italian": ("Osteria", "Trattoria", "Cantina"),
    "French": ("Bistro", "Brasserie", "Maison"),
    "Japanese": ("Izakaya", "Sushi", "Ramen"),
    "Mexican": ("Taqueria", "Casa", "Cocina"),
    "Indian": ("Tandoor", "Spice House", "Curry Leaf"),
    "Thai": ("Baan", "Lemongrass", "Thai Table"),
    "Greek": ("Taverna", "Estia", "Meze"),
    "Spanish": ("Bodega", "Tapas", "Mesón"),
    "American": ("Grill", "Smokehouse", "Diner"),
    "Korean": ("Hanok", "Bulgogi", "Seoul Kitchen"),
}
"""The first parts of a restaurant's name by its cuisine."""

SEEN = Vocabulary(
    cities=(
        CityName("Santa Marina", "America/Los_Angeles"),
        CityName("Port Alder", "America/New_York"),
        CityName("Ashgrove", "America/Chicago"),
        CityName("Larkhaven", "America/Denver"),
        CityName("Bellmont", "America/New_York"),
        CityName("Fairwater", "Europe/London"),
        CityName("Cedar Falls", "America/Los_Angeles"),
        CityName("Novigrad Bay", "Europe/Berlin"),
    ),
    districts=("Harbor District", "Old Town", "Market Quarter", "Riverside", "University Hill", "Garden Row"),
    names=(
        "Vela", "Lumina", "Corvo", "Serafin", "Belmar", "Tamsin", "Orlo", "Quill", "Marisol", "Fennel",
        "Juniper", "Calico", "Dario", "Esme", "Figaro", "Gwen", "Hollis", "Ivo", "Jasper", "Kestrel",
        "Luca", "Mirabel", "Nico", "Otis", "Paloma", "Rosalind", "Sol", "Tilda", "Umber", "Vesper",
    ),
    first_names=(
        "Alice", "Bruno", "Carla", "Dennis", "Elena", "Felix", "Grace", "Hugo", "Irene", "Jonas",
        "Karin", "Leon", "Maria", "Nils", "Olga", "Peter",
    ),
    last_names=(
        "Abbott", "Becker", "Castell", "Dorsey", "Ellison", "Farrow", "Garner", "Holt", "Ivers", "Jansen",
        "Keller", "Lowell", "Mercer", "Norris", "Osborn", "Parrish",
    ),
)  # fmt: skip
"""The words of the world in which agents are trained and models are selected."""

UNSEEN = Vocabulary(
    cities=(
        CityName("Elmsworth", "America/New_York"),
        CityName("Rivermoor", "America/Chicago"),
        CityName("Goldcrest", "America/Los_Angeles"),
        CityName("Windmere", "Europe/London"),
        CityName("Oakhollow", "America/Denver"),
        CityName("Stonebridge", "America/New_York"),
        CityName("Sunfield", "America/Los_Angeles"),
        CityName("Altenbruck", "Europe/Berlin"),
    ),
    districts=("Canal Side", "Museum Mile", "Station Square", "Lakefront", "Theatre Row", "Castle Hill"),
    names=(
        "Amaro", "Brisa", "Cinder", "Dune", "Ember", "Fable", "Greta", "Heron", "Indigo", "Jacaranda",
        "Kismet", "Linden", "Mosaic", "Nettle", "Opal", "Pepin", "Quarry", "Rafael", "Saffron", "Thistle",
        "Ursa", "Violeta", "Wilder", "Xavi", "Yarrow", "Zephyr", "Anselm", "Basil", "Clement", "Delphine",
    ),
    first_names=(
        "Anton", "Beatrix", "Conrad", "Daria", "Edgar", "Fiona", "Gustav", "Helen", "Ivan", "Judith",
        "Kurt", "Laura", "Martin", "Nora", "Oscar", "Paula",
    ),
    last_names=(
        "Adler", "Bishop", "Calder", "Drake", "Engel", "Foster", "Gruber", "Hanley", "Irving", "Joyce",
        "Kramer", "Lambert", "Morrow", "Nolan", "Oakes", "Pryor",
    ),
)  # fmt: skip
"""The words of the world in which agents are tested."""
