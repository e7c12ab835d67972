"""What callers may send to Letta: which parameters and fields, and with which values."""
