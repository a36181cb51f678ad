"""Structured pruning: remove channels or attention heads with everything that depends on them."""

from harness.variants.channels.coupling import Coupling, Family, find
from harness.variants.channels.slimming import SlimFamily, Slimmed, masked, slim

__all__ = ["Coupling", "Family", "SlimFamily", "Slimmed", "find", "masked", "slim"]
