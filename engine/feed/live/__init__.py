"""The vendor's live feed with the recovery that its client lacks: records exactly once, or a hole that is named."""
