"""Pieces that several signals are made of. Imports the ground, and what every signal has in common."""
