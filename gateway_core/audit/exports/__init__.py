"""Exports of the trail: the form of their lines, and how they are written and read again."""
