"""How fast a device may be clocked, and whether clocks can be told as shares of that."""

from __future__ import annotations

from reports.run import DeviceRecord

NO_CLOCK = "the machine does not tell its clock"
NO_HIGHEST = "the machine does not tell its highest clock"
KHZ_PER_MHZ = 1000
# The kernel rounds the clock that it reads: so far above the highest is not another core's.
ROUNDING = 1.01


def highest_mhz(device: DeviceRecord | None) -> float | None:
    """The highest clock that the kernel allows the first processor; null where it is not told."""
    clocks = device.facts.get("clocks") if device else None
    told = (clocks or {}).get("scaling_max_freq")
    return int(told) / KHZ_PER_MHZ if told and str(told).isdigit() else None


def no_share(highest: float | None, fastest: float | None) -> str | None:
    """Why clocks up to `fastest` MHz are not told as shares of the highest; null if they are."""
    if fastest is None:
        return NO_CLOCK
    if highest is None:
        return NO_HIGHEST
    if fastest <= highest * ROUNDING:
        return None
    return (
        f"only the first processor's highest clock is known, and others run at {fastest:,.0f} MHz"
    )
