# SPDX-License-Identifier: GPL-2.0-or-later
"""Houses in fast time for ``soak.py``: what the devices answer, a clock that is moved by hand, and the core behind them."""

from __future__ import annotations

from collections.abc import Mapping

from nutdrv_py.clock import Clock
from nutdrv_py.core import lowbattery
from nutdrv_py.core.guard import guarded
from nutdrv_py.core.lowbattery import Low, Wishes
from nutdrv_py.core.variables import Marks, shape
from nutdrv_py.device.reading import Reading, Status

__all__ = ["METERS", "ROW", "SECCTRL", "USUAL", "Core", "Hand"]

CHARGE = 60

SECCTRL: Mapping[str, object] = {
    "agg_soc": CHARGE, "Max_energy": 10000, "ENC_agg_soc": CHARGE, "ENC_agg_avail_energy": 6000,
    "Enc_max_available_capacity": 10000, "ACB_agg_soc": 0, "ACB_agg_energy": 0, "VLS_Limit": 10, "soc_recovery_exit": 15,
}  # fmt: skip
ROW: Mapping[str, object] = {
    "currW": 900.0, "apprntPwr": 950.0, "rmsCurrent": 4.0, "rmsVoltage": 230.0, "pwrFactor": 0.9, "freqHz": 50.0,
}  # fmt: skip
METERS: Mapping[str, object] = {"soc": CHARGE, "enc_agg_soc": CHARGE, "enc_agg_energy": 6000, "last_update": 1, "phase_count": 1}
USUAL: Mapping[str, object] = {
    "prim_sm.island_flag": 2, "rb485.available": True, **{f"rb485.u_l_grid[{index}]": 230.0 for index in range(3)},
    "battery.soc": CHARGE / 100, "power_mng.soc_min_island": 0.1, "battery.ah_capacity": 25.0, "battery.voltage": 150.0,
    **{f"battery.module_sn[{index}]": f"module-{index}" for index in range(2)}, "battery.maximum_discharge_current": 25.0,
    "g_sync.p_acc_lp": 600.0, "g_sync.p_ac_load_sum_lp": 600.0, "g_sync.p_ac_sum_lp": 600.0, "p_rec_lim[2]": 6000.0,
    **{f"g_sync.u_l_rms[{index}]": 230.0 for index in range(3)},
}  # fmt: skip


class Hand(Clock):
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return 1.8e9 + self.now


class Core:
    """What the core makes of readings; raises when the state of the grid is not the one that was told."""

    def __init__(self, clock: Hand) -> None:
        self._clock, self._low = clock, Low()

    def look(self, reading: Reading, *, off_grid: bool) -> None:
        kept, _ = guarded(reading)
        assert (Status.OB in kept.status) is off_grid, "the state of the grid is what was told"
        self._low = lowbattery.after(self._low, kept, Wishes(), self._clock.now, fresh=True)
        shape(lowbattery.coasted(kept, 1e6), Marks.of(kept, Wishes(), self._low.known, ()), {}, {}, {})
