"""An agent that thinks, uses tools, and thinks again; its words are read while they come."""
