"""Access rules: what staff take away from the operations that are offered."""
