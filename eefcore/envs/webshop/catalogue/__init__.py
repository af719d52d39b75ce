"""The products of the official WebShop files, read once into a form that is mapped from disk."""
