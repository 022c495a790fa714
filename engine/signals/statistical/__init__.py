"""Signals that are a formula: no fits, no labels. Imports the parts."""
