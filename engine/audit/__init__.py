"""Whether what lies in the lake is true. Imports the datasets, the loop and what stands below."""
