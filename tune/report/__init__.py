"""A sweep as one page: `gather` takes the figures from where the leaderboard has them, `sections` words and draws, `page` binds."""
