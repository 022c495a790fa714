"""What becomes of a score: how trades are filled, on a stored session and live; what was promised of them, and what came."""
