"""Who may ask for what, and over which wire: API keys, scopes, certificates."""
