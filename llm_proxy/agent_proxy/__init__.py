"""Letta's way to the models: in the name of the user whose agent it is."""
