"""Search products as Lucene 8.11 does under pyserini 0.17: words, stems, an inverted index, BM25.

`IndexWriter` writes an index of texts, and `Index` maps it from disk and searches it.
"""

from eefcore.envs.webshop.lucene.indexing import IndexWriter
from eefcore.envs.webshop.lucene.search import Index

__all__ = ["Index", "IndexWriter"]
