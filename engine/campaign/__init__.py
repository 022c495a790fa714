"""Many datasets of one file, built on Ray workers. Imports the datasets."""
