"""Masses, rates, forces and the score of each slot. Imports the ground only."""
