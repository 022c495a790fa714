"""How fast this machine is at it. Imports the datasets, the loop and what stands below."""
