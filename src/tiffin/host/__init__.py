"""Hosts that are other machines: their agent, and how controllers and agents speak with each other."""
