"""The product put to the test on a device: how often its gates are wrong there, and what they see.

conduct: pilot, then gates on identical and on slower networks, in random order; bench: one study
of them through the way that `gate` takes; network: the networks; fit: how many layers and gates;
kept: where results are stored; overall: progress over all gates.
"""
