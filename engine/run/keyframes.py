"""Kept states of a whole replay, so that another one of the same session begins near any bin."""
