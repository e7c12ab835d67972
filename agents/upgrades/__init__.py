"""Agents become agents of another version of their template, and go back again."""
