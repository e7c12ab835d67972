"""Making LiteLLM and our rows agree: first a plan, then its steps."""
