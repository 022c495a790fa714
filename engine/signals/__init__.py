"""What scores a bin, and so what serving can load: one signal a file. Imports the ground only."""
