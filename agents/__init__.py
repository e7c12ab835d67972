"""Agents made from templates, through AMS."""
