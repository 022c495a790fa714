"""Orders, levels and best prices. Imports the ground only."""
