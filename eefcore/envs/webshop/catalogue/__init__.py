"""The products of the official WebShop files, read once into a form that is mapped from disk.

`Catalogue.load` opens a folder of official files; `Product` is one product as an interface and the reward see it.
"""

from eefcore.envs.webshop.catalogue.catalogue import Catalogue
from eefcore.envs.webshop.catalogue.product import Product

__all__ = ["Catalogue", "Product"]
