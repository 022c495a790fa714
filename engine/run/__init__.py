"""The one loop: event, book, field, bin, signal. Imports source, book, field and signals, which do not know it."""
