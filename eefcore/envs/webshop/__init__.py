"""WebShop, without Java: the official data, search, goals and reward, through three interfaces.

catalogue, search …   products, and a search equal to Lucene's
goals, splits         what users ask for; which goals are tested on
reward, nouns         what a purchase is worth
pages, session, shop  what the site holds
agentlite             how it is shown to the papers' agents
official              `text` and `text_rich`
env, benchmark        both protocols of `eefcore.protocols`
generate              catalogues of any size in the official format
"""

from eefcore.envs.webshop.benchmark import WebShopBenchmark
from eefcore.envs.webshop.catalogue.catalogue import Catalogue
from eefcore.envs.webshop.catalogue.product import Product
from eefcore.envs.webshop.env import WebShop
from eefcore.envs.webshop.goals import Goal
from eefcore.envs.webshop.splits import Sizes

__all__ = ["Catalogue", "Goal", "Product", "Sizes", "WebShop", "WebShopBenchmark"]
