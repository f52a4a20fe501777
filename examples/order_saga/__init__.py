"""An order in several steps, each undone if a later one fails."""
