"""Sweeps over stored sessions: points in, a leaderboard out, the best promoted to serving."""
