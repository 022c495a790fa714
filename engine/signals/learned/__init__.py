"""Signals that learn while they score: rows, labels, fits on schedule. Imports the parts."""
