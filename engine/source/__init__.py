"""DBN files as records: order, scale and symbol settled once, at the entrance. Imports the ground only."""
