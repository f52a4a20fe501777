"""Parts of the store by themselves."""
