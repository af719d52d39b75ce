"""Read the official WebShop product files once into a form that is mapped from disk."""
