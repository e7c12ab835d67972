"""The keys in LiteLLM that model calls are paid with."""
