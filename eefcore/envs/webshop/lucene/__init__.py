"""Search products as Lucene 8.11 does under pyserini 0.17: words, stems, an inverted index, BM25."""
