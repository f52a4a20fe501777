"""Durable workflows: what users write them with, and what runs their code."""
