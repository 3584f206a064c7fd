"""Records to what people read: tables, galleries, the leaderboard."""
