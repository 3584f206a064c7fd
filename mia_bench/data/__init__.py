"""Photos: readers, decoding, and the split into Q1, Q2 and Q3."""
