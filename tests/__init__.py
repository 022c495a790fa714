"""Tests of the project; they mirror its tree."""
