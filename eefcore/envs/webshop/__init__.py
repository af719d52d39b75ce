"""WebShop without Java: the official data, search, goals and reward, through three interfaces; and generated shops.

A `WebShopBenchmark` makes tasks and environments of a folder of official files. `catalogue/` holds the products,
`lucene/` a search equal to Lucene's, `interfaces/` how AgentLite and the official text environment show the shop.
"""

from eefcore.envs.webshop.benchmark import WebShopBenchmark
from eefcore.envs.webshop.catalogue.catalogue import Catalogue
from eefcore.envs.webshop.catalogue.product import Product
from eefcore.envs.webshop.env import WebShop
from eefcore.envs.webshop.goals import Goal

__all__ = ["Catalogue", "Goal", "Product", "WebShop", "WebShopBenchmark"]
