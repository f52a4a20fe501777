"""The section "Workflows in Python" of the acceptance cases, and the others as workflows."""
