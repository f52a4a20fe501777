"""Who may call what: API keys, roles, and the certificates of TLS."""
