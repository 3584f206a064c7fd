"""One target family a file."""
