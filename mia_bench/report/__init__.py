"""Records to what people read: tables and galleries."""
