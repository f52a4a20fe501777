"""A payment service calls a URL: its signature is checked, and the run answers."""
