"""Model calls through LiteLLM, each on the virtual key of the user who makes it."""
