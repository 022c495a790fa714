"""A sweep as one page: `gather` takes the figures, `words` and `pictures` show them, `page` binds the sections."""
