"""What comes in from the vendor: downloads into the lake, and a loopback gateway that stands in for the vendor in tests."""
