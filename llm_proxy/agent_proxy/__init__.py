"""The way of the model calls that agents make: from Letta through the gateway to LiteLLM."""
