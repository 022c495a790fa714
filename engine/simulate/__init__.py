"""A believable market as a DBN file. Imports the ground only."""
