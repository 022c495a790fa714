"""Immutable captures: written, published, read. Imports the loop that fills them."""
