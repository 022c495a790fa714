"""A recording proved against the vendor's history of the same day: record by record, then bin by bin."""
