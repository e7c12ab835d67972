"""The roof: the only package that knows every app."""
