"""The vendor's history into the lake: planned, paid for once, fetched, checked, and put where it belongs."""
