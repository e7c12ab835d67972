"""How the admin writes dates, for each language: Django looks here by ``FORMAT_MODULE_PATH``."""
