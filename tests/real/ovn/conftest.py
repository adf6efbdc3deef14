"""The fixtures of these tests."""

from ovn_guests import cloud, listening, module_cloud

__all__ = ["cloud", "listening", "module_cloud"]
