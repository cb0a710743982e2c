# SPDX-License-Identifier: GPL-2.0-or-later
"""The objects of an RCT inverter that are in use: one row each.

Names and types are those of the public registry of ``rctclient`` unless a source is named; a test compares them.
Ratios (unit "1") go from 0 to 1. Powers: battery + = discharging, grid + = import, house load + = use.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from nutdrv_py.protocols.rct.payload import Kind

__all__ = ["BY_NAME", "BY_OID", "MODULES", "OBJECTS", "Group", "Object", "Part"]


class Group(enum.Enum):
    """How often an object is asked."""

    GRID = "first in every poll"
    FAST = "in every poll"
    MEDIUM = "every ten seconds"
    SLOW = "with each full poll"
    RARE = "with each fifth full poll"
    INVENTORY = "once an hour, and after a reconnection"

    __hash__ = object.__hash__  # members are unique; the one of enum.Enum is slow


class Part(enum.Enum):
    """What the system must have for an object to be asked."""

    INVERTER = "the inverter itself"
    SWITCH = "a Power Switch"
    BATTERY = "a battery"
    TOWER = "a second battery tower"
    GENERATOR_A = "a first solar generator"
    GENERATOR_B = "a second solar generator"
    MODULE_0 = "battery module 0"
    MODULE_1 = "battery module 1"
    MODULE_2 = "battery module 2"
    MODULE_3 = "battery module 3"
    MODULE_4 = "battery module 4"
    MODULE_5 = "battery module 5"
    MODULE_6 = "battery module 6"

    __hash__ = object.__hash__


MODULES = (Part.MODULE_0, Part.MODULE_1, Part.MODULE_2, Part.MODULE_3, Part.MODULE_4, Part.MODULE_5, Part.MODULE_6)
"""The modules of a battery tower, by index."""


@dataclass(frozen=True, slots=True)
class Object:
    """An object of the inverter. A number outside ``low`` to ``high`` (both included) is not used; None: no limit."""

    oid: int
    name: str
    kind: Kind
    unit: str
    low: float | None
    high: float | None
    group: Group
    part: Part
    source: str = "registry"

    def plausible(self, value: object) -> bool:
        """Return whether the value lies in the object's range."""
        if not isinstance(value, int | float):
            return True
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


_GRID, _FAST, _MEDIUM, _SLOW, _RARE, _ONCE = Group
_INVERTER, _SWITCH, _BATTERY, _TOWER, _GENERATOR_A, _GENERATOR_B, *_ = Part
_MODULE_0, _MODULE_1, _MODULE_2, _MODULE_3, _MODULE_4, _MODULE_5, _MODULE_6 = MODULES
_BOOL, _ENUM, _UINT8, _UINT16, _UINT32, _INT32 = Kind.BOOL, Kind.ENUM, Kind.UINT8, Kind.UINT16, Kind.UINT32, Kind.INT32
_FLOAT, _STRING, _CELLS, _STAT, _RESIST = Kind.FLOAT, Kind.STRING, Kind.CELLS, Kind.CELLS_STAT, Kind.CELLS_RESIST

# fmt: off
OBJECTS: tuple[Object, ...] = (
    # The grid: asked first in every poll
    Object(0x3623D82A, "prim_sm.island_flag",                      _UINT16, "",    0, 65535,      _GRID,   _INVERTER, "2 on the grid (evcc, ioBroker); bit 0: island"),
    Object(0x437B8122, "rb485.available",                          _BOOL,   "",    None, None,    _GRID,   _INVERTER),
    Object(0x93F976AB, "rb485.u_l_grid[0]",                        _FLOAT,  "V",   -10, 600,      _GRID,   _SWITCH),
    Object(0x7A9091EA, "rb485.u_l_grid[1]",                        _FLOAT,  "V",   -10, 600,      _GRID,   _SWITCH),
    Object(0x21EE7CBB, "rb485.u_l_grid[2]",                        _FLOAT,  "V",   -10, 600,      _GRID,   _SWITCH),
    # Charge and power: asked in every poll
    Object(0x959930BF, "battery.soc",                              _FLOAT,  "1",   0, 1.005,      _FAST,   _BATTERY, "0..1, not %"),
    Object(0x400F015B, "g_sync.p_acc_lp",                          _FLOAT,  "W",   -60000, 60000, _FAST,   _BATTERY, "+ = discharging (evcc, openWB)"),
    Object(0x1AC87AA0, "g_sync.p_ac_load_sum_lp",                  _FLOAT,  "W",   -2e5, 2e5,     _FAST,   _INVERTER),
    Object(0xDB2D69AE, "g_sync.p_ac_sum_lp",                       _FLOAT,  "W",   -1e5, 1e5,     _FAST,   _INVERTER),
    Object(0x91617C58, "g_sync.p_ac_grid_sum_lp",                  _FLOAT,  "W",   -2e5, 2e5,     _FAST,   _INVERTER, "+ = import"),
    # State of the inverter and its faults
    Object(0x37F9D5CA, "fault[0].flt",                             _UINT32, "",    0, 0xFFFFFFFE, _MEDIUM, _INVERTER),
    Object(0x234B4736, "fault[1].flt",                             _UINT32, "",    0, 0xFFFFFFFE, _MEDIUM, _INVERTER),
    Object(0x3B7FCD47, "fault[2].flt",                             _UINT32, "",    0, 0xFFFFFFFE, _MEDIUM, _INVERTER),
    Object(0x7F813D73, "fault[3].flt",                             _UINT32, "",    0, 0xFFFFFFFE, _MEDIUM, _INVERTER),
    Object(0x5F33284E, "prim_sm.state",                            _ENUM,   "",    None, None,    _MEDIUM, _INVERTER),
    Object(0x97E203F9, "power_mng.is_grid",                        _BOOL,   "",    None, None,    _MEDIUM, _INVERTER),
    # Battery
    Object(0x65EED11B, "battery.voltage",                          _FLOAT,  "V",   0, 1000,       _MEDIUM, _BATTERY),
    Object(0xA7FA5C5D, "power_mng.u_acc_mix_lp",                   _FLOAT,  "V",   0, 1000,       _MEDIUM, _BATTERY),
    Object(0x21961B58, "battery.current",                          _FLOAT,  "A",   -200, 200,     _MEDIUM, _BATTERY, "the sign varies"),
    Object(0x0DE3D20D, "battery.status2",                          _INT32,  "",    None, None,   _MEDIUM, _BATTERY, "bits: the vendor, to openWB"),
    Object(0x71765BD8, "battery.status",                           _INT32,  "",    None, None,   _MEDIUM, _BATTERY, "bits: the vendor, to openWB"),
    Object(0xDF0A735C, "battery.maximum_discharge_current",        _FLOAT,  "A",   0, 1000,       _MEDIUM, _BATTERY),
    Object(0x1E5FCA70, "battery.maximum_charge_current",           _FLOAT,  "A",   0, 1000,       _SLOW,   _BATTERY),
    Object(0x902AFAFB, "battery.temperature",                      _FLOAT,  "C",   -50, 120,      _SLOW,   _BATTERY),
    Object(0x70A2AF4F, "battery.bat_status",                       _INT32,  "",    None, None,    _SLOW,   _BATTERY),
    Object(0xDC667958, "power_mng.state",                          _UINT8,  "",    None, None,    _SLOW,   _BATTERY),
    Object(0x8B9FF008, "battery.soc_target",                       _FLOAT,  "1",   0, 1.005,      _SLOW,   _BATTERY),
    Object(0x8EBF9574, "power_mng.soc_min_island",                 _FLOAT,  "1",   0, 1,          _SLOW,   _BATTERY),
    Object(0xCE266F0F, "power_mng.soc_min",                        _FLOAT,  "1",   0, 1,          _SLOW,   _BATTERY),
    Object(0x97997C93, "power_mng.soc_max",                        _FLOAT,  "1",   0, 1.005,      _SLOW,   _BATTERY),
    Object(0xBD3A23C3, "power_mng.soc_charge",                     _FLOAT,  "1",   0, 1,          _RARE,   _BATTERY),
    Object(0x381B8BF9, "battery.soh",                              _FLOAT,  "1",   0, 1.2,        _SLOW,   _BATTERY, "0..1, not %"),
    Object(0xB57B59BD, "battery.ah_capacity",                      _FLOAT,  "Ah",  0, 10000,      _SLOW,   _BATTERY),
    Object(0xE9BBF6E4, "power_mng.amp_hours_measured",             _FLOAT,  "Ah",  0, 10000,      _RARE,   _BATTERY),
    Object(0xFBD94C1F, "power_mng.amp_hours",                      _FLOAT,  "Ah",  0, 10000,      _RARE,   _BATTERY),
    Object(0xACF7666B, "battery.efficiency",                       _FLOAT,  "1",   0, 1.5,        _RARE,   _BATTERY),
    Object(0xC0DF2978, "battery.cycles",                           _INT32,  "",    0, 1e6,        _SLOW,   _BATTERY),
    Object(0x2AACCAA7, "battery.max_cell_voltage",                 _FLOAT,  "V",   0, 6,          _SLOW,   _BATTERY),
    Object(0x4CB7C0DC, "battery.min_cell_voltage",                 _FLOAT,  "V",   0, 6,          _SLOW,   _BATTERY),
    Object(0x55DDF7BA, "battery.max_cell_temperature",             _FLOAT,  "C",   -50, 120,      _SLOW,   _BATTERY),
    Object(0xA10D9A4B, "battery.min_cell_temperature",             _FLOAT,  "C",   -50, 120,      _SLOW,   _BATTERY),
    Object(0x6E491B50, "battery.maximum_charge_voltage",           _FLOAT,  "V",   0, 1000,       _RARE,   _BATTERY),
    Object(0xB0EBE75A, "battery.minimum_discharge_voltage",        _FLOAT,  "V",   0, 1000,       _RARE,   _BATTERY),
    Object(0xE7B0E692, "battery.bat_impedance.impedance_fine",     _FLOAT,  "Ohm", 0, 1000,       _SLOW,   _BATTERY),
    Object(0x06A9FFA2, "battery.charged_amp_hours",                _FLOAT,  "Ah",  0, 1e9,        _RARE,   _BATTERY),
    Object(0x2BC1E72B, "battery.discharged_amp_hours",             _FLOAT,  "Ah",  0, 1e9,        _SLOW,   _BATTERY),
    Object(0x5570401B, "battery.stored_energy",                    _FLOAT,  "Wh",  0, 1e12,       _SLOW,   _BATTERY),
    Object(0xA9033880, "battery.used_energy",                      _FLOAT,  "Wh",  0, 1e12,       _SLOW,   _BATTERY),
    Object(0x1156DFD0, "power_mng.battery_power",                  _FLOAT,  "W",   -60000, 60000, _SLOW,   _BATTERY),
    Object(0x0AFDD6CF, "acc_conv.i_acc_lp_fast",                   _FLOAT,  "A",   -500, 500,     _SLOW,   _BATTERY),
    Object(0xB84FDCF9, "adc.u_acc",                                _FLOAT,  "V",   0, 1000,       _SLOW,   _BATTERY),
    Object(0xB6623608, "power_mng.bat_next_calib_date",            _UINT32, "s",   None, None,    _RARE,   _BATTERY),
    Object(0x315D1490, "power_mng.bat_empty_full",                 _UINT8,  "",    None, None,    _RARE,   _BATTERY),
    Object(0xF168B748, "power_mng.soc_strategy",                   _ENUM,   "",    None, None,    _RARE,   _BATTERY),
    # Grid, house and inverter, by phase
    Object(0xCF053085, "g_sync.u_l_rms[0]",                        _FLOAT,  "V",   0, 600,        _MEDIUM,  _INVERTER),
    Object(0x54B4684E, "g_sync.u_l_rms[1]",                        _FLOAT,  "V",   0, 600,        _MEDIUM,  _INVERTER),
    Object(0x2545E22D, "g_sync.u_l_rms[2]",                        _FLOAT,  "V",   0, 600,        _MEDIUM,  _INVERTER),
    Object(0x03A39CA2, "g_sync.p_ac_load[0]",                      _FLOAT,  "W",   -1e5, 1e5,     _MEDIUM, _INVERTER),
    Object(0x2788928C, "g_sync.p_ac_load[1]",                      _FLOAT,  "W",   -1e5, 1e5,     _MEDIUM, _INVERTER),
    Object(0xF0B436DD, "g_sync.p_ac_load[2]",                      _FLOAT,  "W",   -1e5, 1e5,     _MEDIUM, _INVERTER),
    Object(0x27BE51D9, "g_sync.p_ac_sc[0]",                        _FLOAT,  "W",   -1e5, 1e5,     _MEDIUM, _INVERTER),
    Object(0xF5584F90, "g_sync.p_ac_sc[1]",                        _FLOAT,  "W",   -1e5, 1e5,     _MEDIUM, _INVERTER),
    Object(0xB221BCFA, "g_sync.p_ac_sc[2]",                        _FLOAT,  "W",   -1e5, 1e5,     _MEDIUM, _INVERTER),
    Object(0x71E10B51, "g_sync.p_ac_lp[0]",                        _FLOAT,  "W",   -50000, 50000, _SLOW,   _INVERTER),
    Object(0x6E1C5B78, "g_sync.p_ac_lp[1]",                        _FLOAT,  "W",   -50000, 50000, _SLOW,   _INVERTER),
    Object(0xB9928C51, "g_sync.p_ac_lp[2]",                        _FLOAT,  "W",   -50000, 50000, _SLOW,   _INVERTER),
    Object(0x3A444FC6, "g_sync.s_ac_lp[0]",                        _FLOAT,  "VA",  0, 50000,      _MEDIUM, _INVERTER),
    Object(0x4077335D, "g_sync.s_ac_lp[1]",                        _FLOAT,  "VA",  0, 50000,      _MEDIUM, _INVERTER),
    Object(0x883DE9AB, "g_sync.s_ac_lp[2]",                        _FLOAT,  "VA",  0, 50000,      _MEDIUM, _INVERTER),
    Object(0xDCA1CF26, "g_sync.s_ac_sum_lp",                       _FLOAT,  "VA",  0, 1e5,        _MEDIUM, _INVERTER),
    Object(0x1C4A665F, "grid_pll[0].f",                            _FLOAT,  "Hz",  0, 100,        _MEDIUM, _INVERTER),
    Object(0x9558AD8A, "rb485.f_grid[0]",                          _FLOAT,  "Hz",  0, 100,        _MEDIUM, _SWITCH),
    Object(0xFAE429C5, "rb485.f_grid[1]",                          _FLOAT,  "Hz",  0, 100,        _SLOW,   _SWITCH),
    Object(0x0104EB6A, "rb485.f_grid[2]",                          _FLOAT,  "Hz",  0, 100,        _SLOW,   _SWITCH),
    Object(0x3B5F6B9D, "rb485.f_wr[0]",                            _FLOAT,  "Hz",  0, 100,        _SLOW,   _SWITCH),
    Object(0x6FD36B32, "rb485.f_wr[1]",                            _FLOAT,  "Hz",  0, 100,        _SLOW,   _SWITCH),
    Object(0x905F707B, "rb485.f_wr[2]",                            _FLOAT,  "Hz",  0, 100,        _SLOW,   _SWITCH),
    Object(0x63476DBE, "g_sync.u_ptp_rms[0]",                      _FLOAT,  "V",   0, 1000,       _SLOW,   _INVERTER),
    Object(0x485AD749, "g_sync.u_ptp_rms[1]",                      _FLOAT,  "V",   0, 1000,       _SLOW,   _INVERTER),
    Object(0xF25C339B, "g_sync.u_ptp_rms[2]",                      _FLOAT,  "V",   0, 1000,       _SLOW,   _INVERTER),
    Object(0x89EE3EB5, "g_sync.i_dr_eff[0]",                       _FLOAT,  "A",   0, 500,        _SLOW,   _INVERTER),
    Object(0x650C1ED7, "g_sync.i_dr_eff[1]",                       _FLOAT,  "A",   0, 500,        _SLOW,   _INVERTER),
    Object(0x92BC682B, "g_sync.i_dr_eff[2]",                       _FLOAT,  "A",   0, 500,        _SLOW,   _INVERTER),
    Object(0x7C78CBAC, "g_sync.q_ac_sum_lp",                       _FLOAT,  "var", -1e5, 1e5,     _SLOW,   _INVERTER),
    # Generators
    Object(0x701A0482, "dc_conv.dc_conv_struct[0].enabled",        _BOOL,   "",    None, None,    _ONCE,   _INVERTER),
    Object(0xDB11855B, "dc_conv.dc_conv_struct[0].p_dc_lp",        _FLOAT,  "W",   -1000, 50000,  _MEDIUM, _GENERATOR_A),
    Object(0xB55BA2CE, "g_sync.u_sg_avg[0]",                       _FLOAT,  "V",   -50, 1500,     _MEDIUM, _GENERATOR_A),
    Object(0x226A23A4, "dc_conv.dc_conv_struct[0].u_target",       _FLOAT,  "V",   -50, 1500,     _SLOW,   _GENERATOR_A),
    Object(0xBA8B8515, "dc_conv.dc_conv_struct[0].mpp.mpp_step",   _FLOAT,  "V",   -500, 500,     _RARE,   _GENERATOR_A),
    Object(0xFC724A9E, "energy.e_dc_total[0]",                     _FLOAT,  "Wh",  -1e12, 1e12,   _RARE,   _GENERATOR_A),
    Object(0xFED51BD2, "dc_conv.dc_conv_struct[1].enabled",        _BOOL,   "",    None, None,    _ONCE,   _INVERTER),
    Object(0x0CB5D21B, "dc_conv.dc_conv_struct[1].p_dc_lp",        _FLOAT,  "W",   -1000, 50000,  _MEDIUM, _GENERATOR_B),
    Object(0xB0041187, "g_sync.u_sg_avg[1]",                       _FLOAT,  "V",   -50, 1500,     _MEDIUM, _GENERATOR_B),
    Object(0x675776B1, "dc_conv.dc_conv_struct[1].u_target",       _FLOAT,  "V",   -50, 1500,     _SLOW,   _GENERATOR_B),
    Object(0x4AE96C12, "dc_conv.dc_conv_struct[1].mpp.mpp_step",   _FLOAT,  "V",   -500, 500,     _RARE,   _GENERATOR_B),
    Object(0x68EEFD3D, "energy.e_dc_total[1]",                     _FLOAT,  "Wh",  -1e12, 1e12,   _RARE,   _GENERATOR_B),
    Object(0xE96F1844, "io_board.s0_external_power",               _FLOAT,  "W",   -1e5, 1e5,     _SLOW,   _INVERTER),
    # Temperatures and insulation
    Object(0xF79D41D9, "db.temp1",                                 _FLOAT,  "C",   -60, 150,      _SLOW,   _INVERTER),
    Object(0x4F735D10, "db.temp2",                                 _FLOAT,  "C",   -60, 150,      _SLOW,   _INVERTER),
    Object(0xC24E85D0, "db.core_temp",                             _FLOAT,  "C",   -60, 150,      _SLOW,   _INVERTER),
    Object(0xC717D1FB, "iso_struct.Riso",                          _FLOAT,  "Ohm", 0, 1e12,       _SLOW,   _INVERTER),
    Object(0x8E41FC47, "iso_struct.Rp",                            _FLOAT,  "Ohm", 0, 1e12,       _SLOW,   _INVERTER),
    Object(0x474F80D5, "iso_struct.Rn",                            _FLOAT,  "Ohm", 0, 1e12,       _SLOW,   _INVERTER),
    # Limits of the grid code
    Object(0x3CB1EF01, "grid_mon[0].u_under.threshold",            _FLOAT,  "V",   0, 1000,       _RARE,   _INVERTER),
    Object(0xA6271C2E, "grid_mon[0].u_over.threshold",             _FLOAT,  "V",   0, 1000,       _RARE,   _INVERTER),
    Object(0xA95AD038, "grid_mon[0].f_under.threshold",            _FLOAT,  "Hz",  0, 1000,       _RARE,   _INVERTER),
    Object(0xEBF7A4E8, "grid_mon[0].f_over.threshold",             _FLOAT,  "Hz",  0, 1000,       _RARE,   _INVERTER),
    # Energy
    Object(0xBD55905F, "energy.e_ac_day",                          _FLOAT,  "Wh",  -1e12, 1e12,   _RARE,   _INVERTER, "below zero when it takes more than it gives"),
    Object(0x10970E9D, "energy.e_ac_month",                        _FLOAT,  "Wh",  -1e12, 1e12,   _RARE,   _INVERTER, "below zero when it takes more than it gives"),
    Object(0xC0CC81B6, "energy.e_ac_year",                         _FLOAT,  "Wh",  -1e12, 1e12,   _RARE,   _INVERTER, "below zero when it takes more than it gives"),
    Object(0xB1EF67CE, "energy.e_ac_total",                        _FLOAT,  "Wh",  -1e12, 1e12,   _RARE,   _INVERTER, "below zero when it takes more than it gives"),
    Object(0xEFF4B537, "energy.e_load_total",                      _FLOAT,  "Wh",  -1e12, 1e12,   _RARE,   _INVERTER),
    Object(0x62FBE7DC, "energy.e_grid_load_total",                 _FLOAT,  "Wh",  -1e12, 1e12,   _RARE,   _INVERTER),
    Object(0x44D4C533, "energy.e_grid_feed_total",                 _FLOAT,  "Wh",  -1e12, 1e12,   _RARE,   _INVERTER, "counts below zero"),
    # Second battery tower
    Object(0x8B4BE168, "battery_placeholder[0].soc",               _FLOAT,  "1",   0, 1.005,      _FAST,   _TOWER),
    Object(0xFCA1CBB5, "battery_placeholder[0].voltage",           _FLOAT,  "V",   0, 1000,       _SLOW,   _TOWER),
    Object(0x79D7D617, "battery_placeholder[0].current",           _FLOAT,  "A",   -200, 200,     _SLOW,   _TOWER),
    Object(0xC66665E8, "battery_placeholder[0].temperature",       _FLOAT,  "C",   -50, 120,      _SLOW,   _TOWER),
    Object(0xBD95C46C, "battery_placeholder[0].ah_capacity",       _FLOAT,  "Ah",  0, 10000,      _SLOW,   _BATTERY),
    Object(0x1781CD31, "battery_placeholder[0].soh",               _FLOAT,  "1",   0, 1.2,        _SLOW,   _TOWER),
    Object(0x5C93093B, "battery_placeholder[0].status2",           _INT32,  "",    None, None,   _MEDIUM, _TOWER),
    Object(0x1025B491, "battery_placeholder[0].maximum_discharge_current", _FLOAT,  "A",   0, 1000,       _MEDIUM, _TOWER),
    # Identity and inventory
    Object(0xEBC62737, "android_description",                      _STRING, "",    None, None,    _ONCE,   _INVERTER),
    Object(0x7924ABD9, "inverter_sn",                              _STRING, "",    None, None,    _ONCE,   _INVERTER),
    Object(0xDDD1C2D0, "svnversion",                               _STRING, "",    None, None,    _ONCE,   _INVERTER),
    Object(0x682CDDA1, "power_mng.battery_type",                   _ENUM,   "",    None, None,    _RARE,   _INVERTER),
    Object(0x16A1F844, "battery.bms_sn",                           _STRING, "",    None, None,    _RARE,   _INVERTER),
    Object(0x9A67600D, "p_rec_lim[2]",                             _FLOAT,  "W",   0, 1e5,        _ONCE,   _INVERTER),
    Object(0x68BC034D, "parameter_file",                           _STRING, "",    None, None,    _ONCE,   _INVERTER),
    Object(0x9D785E8C, "battery.bms_software_version",             _UINT32, "",    None, None,    _ONCE,   _BATTERY),
    Object(0x27650FE2, "rb485.version_main",                       _UINT32, "",    None, None,    _ONCE,   _SWITCH),
    Object(0x173D81E4, "rb485.version_boot",                       _UINT32, "",    None, None,    _ONCE,   _SWITCH),
    Object(0xEB7BCB93, "battery_placeholder[0].bms_sn",            _STRING, "",    None, None,    _ONCE,   _BATTERY),
    Object(0xFBF6D834, "battery.module_sn[0]",                     _STRING, "",    None, None,    _ONCE,   _BATTERY),
    Object(0x99396810, "battery.module_sn[1]",                     _STRING, "",    None, None,    _ONCE,   _BATTERY),
    Object(0x73489528, "battery.module_sn[2]",                     _STRING, "",    None, None,    _ONCE,   _BATTERY),
    Object(0x257B7612, "battery.module_sn[3]",                     _STRING, "",    None, None,    _ONCE,   _BATTERY),
    Object(0x4E699086, "battery.module_sn[4]",                     _STRING, "",    None, None,    _ONCE,   _BATTERY),
    Object(0x162491E8, "battery.module_sn[5]",                     _STRING, "",    None, None,    _ONCE,   _BATTERY),
    Object(0x5939EC5D, "battery.module_sn[6]",                     _STRING, "",    None, None,    _ONCE,   _BATTERY),
    Object(0x690C32D2, "battery_placeholder[0].module_sn[0]",      _STRING, "",    None, None,    _ONCE,   _TOWER),
    Object(0xABA015FC, "battery_placeholder[0].module_sn[1]",      _STRING, "",    None, None,    _ONCE,   _TOWER),
    Object(0xE635A6C4, "battery_placeholder[0].module_sn[2]",      _STRING, "",    None, None,    _ONCE,   _TOWER),
    Object(0x4FC53F19, "battery_placeholder[0].module_sn[3]",      _STRING, "",    None, None,    _ONCE,   _TOWER),
    Object(0x20A3A91F, "battery_placeholder[0].module_sn[4]",      _STRING, "",    None, None,    _ONCE,   _TOWER),
    Object(0x035E64EA, "battery_placeholder[0].module_sn[5]",      _STRING, "",    None, None,    _ONCE,   _TOWER),
    Object(0x8594D11E, "battery_placeholder[0].module_sn[6]",      _STRING, "",    None, None,    _ONCE,   _TOWER),
    # Battery modules
    Object(0xA6C4FD4A, "battery.stack_cycles[0]",                  _UINT16, "",    None, None,    _RARE,   _MODULE_0),
    Object(0x0CFA8BC4, "battery.stack_cycles[1]",                  _UINT16, "",    None, None,    _RARE,   _MODULE_1),
    Object(0x5BA122A5, "battery.stack_cycles[2]",                  _UINT16, "",    None, None,    _RARE,   _MODULE_2),
    Object(0x89B25F4B, "battery.stack_cycles[3]",                  _UINT16, "",    None, None,    _RARE,   _MODULE_3),
    Object(0x5A9EEFF0, "battery.stack_cycles[4]",                  _UINT16, "",    None, None,    _RARE,   _MODULE_4),
    Object(0x2A30A97E, "battery.stack_cycles[5]",                  _UINT16, "",    None, None,    _RARE,   _MODULE_5),
    Object(0x27C39CEA, "battery.stack_cycles[6]",                  _UINT16, "",    None, None,    _RARE,   _MODULE_6),
    Object(0x6388556C, "battery.stack_software_version[0]",        _UINT32, "",    None, None,    _ONCE,   _MODULE_0),
    Object(0xA54C4685, "battery.stack_software_version[1]",        _UINT32, "",    None, None,    _ONCE,   _MODULE_1),
    Object(0xC8BA1729, "battery.stack_software_version[2]",        _UINT32, "",    None, None,    _ONCE,   _MODULE_2),
    Object(0x086C75B0, "battery.stack_software_version[3]",        _UINT32, "",    None, None,    _ONCE,   _MODULE_3),
    Object(0xA40906BF, "battery.stack_software_version[4]",        _UINT32, "",    None, None,    _ONCE,   _MODULE_4),
    Object(0xEEA3F59B, "battery.stack_software_version[5]",        _UINT32, "",    None, None,    _ONCE,   _MODULE_5),
    Object(0x6974798A, "battery.stack_software_version[6]",        _UINT32, "",    None, None,    _ONCE,   _MODULE_6),
    Object(0xF8C0D255, "battery.cells[0]",                         _CELLS,  "",    None, None,    _SLOW,   _MODULE_0),
    Object(0x8EF6FBBD, "battery.cells[1]",                         _CELLS,  "",    None, None,    _SLOW,   _MODULE_1),
    Object(0x69B8FF28, "battery.cells[2]",                         _CELLS,  "",    None, None,    _SLOW,   _MODULE_2),
    Object(0xC8609C8E, "battery.cells[3]",                         _CELLS,  "",    None, None,    _SLOW,   _MODULE_3),
    Object(0x1348AB07, "battery.cells[4]",                         _CELLS,  "",    None, None,    _SLOW,   _MODULE_4),
    Object(0x62D645D9, "battery.cells[5]",                         _CELLS,  "",    None, None,    _SLOW,   _MODULE_5),
    Object(0x40FF01B7, "battery.cells[6]",                         _CELLS,  "",    None, None,    _SLOW,   _MODULE_6),
    Object(0x34A164E7, "battery.cells_stat[0]",                    _STAT,   "",    None, None,    _RARE,   _MODULE_0),
    Object(0xFB796780, "battery.cells_stat[1]",                    _STAT,   "",    None, None,    _RARE,   _MODULE_1),
    Object(0x74FD4609, "battery.cells_stat[2]",                    _STAT,   "",    None, None,    _RARE,   _MODULE_2),
    Object(0x01676FA6, "battery.cells_stat[3]",                    _STAT,   "",    None, None,    _RARE,   _MODULE_3),
    Object(0x0DACF21B, "battery.cells_stat[4]",                    _STAT,   "",    None, None,    _RARE,   _MODULE_4),
    Object(0x23E55DA0, "battery.cells_stat[5]",                    _STAT,   "",    None, None,    _RARE,   _MODULE_5),
    Object(0xF99E8CC8, "battery.cells_stat[6]",                    _STAT,   "",    None, None,    _RARE,   _MODULE_6),
    Object(0x649B10DA, "battery.cells_resist[0]",                  _RESIST, "",    None, None,    _SLOW,   _MODULE_0),
    Object(0x71CB0B57, "battery.cells_resist[1]",                  _RESIST, "",    None, None,    _SLOW,   _MODULE_1),
    Object(0xF3FD8CE6, "battery.cells_resist[2]",                  _RESIST, "",    None, None,    _SLOW,   _MODULE_2),
    Object(0x993C06F6, "battery.cells_resist[3]",                  _RESIST, "",    None, None,    _SLOW,   _MODULE_3),
    Object(0xDEE1957F, "battery.cells_resist[4]",                  _RESIST, "",    None, None,    _SLOW,   _MODULE_4),
    Object(0x501A162D, "battery.cells_resist[5]",                  _RESIST, "",    None, None,    _SLOW,   _MODULE_5),
    Object(0xEB4C2597, "battery.cells_resist[6]",                  _RESIST, "",    None, None,    _SLOW,   _MODULE_6),
)
# fmt: on

BY_OID = {row.oid: row for row in OBJECTS}
BY_NAME = {row.name: row for row in OBJECTS}
