"""Keys that users make for their own servers and scripts."""
