"""What operations are estimated to take: energies of one inference, from figures of one operation (Panda, Aketi and Roy 2020, section 7)."""

import math
from dataclasses import dataclass

from spikefold.train.errors import TrainError

__all__ = ["ENERGY_TABLES", "EnergyEstimate", "EnergyTable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyTable:
    """What one operation is estimated to take, in pJ."""

    name: str
    mac_pj: float
    ac_pj: float

    def __post_init__(self) -> None:
        for key in ("mac_pj", "ac_pj"):
            if not 0 < (value := getattr(self, key)) < math.inf:
                raise TrainError(f"energy table {self.name!r}, {key}: {value}; it must be above 0 and finite")


ENERGY_TABLES = (EnergyTable(name="int32", mac_pj=3.2, ac_pj=0.1), EnergyTable(name="float32", mac_pj=4.6, ac_pj=0.9))
"""45 nm, an AC being an addition and a MAC a multiplication (3.1 and 3.7 pJ) and an addition: the usual figures of Horowitz 2014.

The paper takes 32-bit integers. Between the two tables, the ratio of MAC to AC differs by a factor of 6.3.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyEstimate:
    """Estimated energies of one inference, as this network and as an ANN of the same layers, in pJ (Panda et al. 2020, eq. 10 and 11).

    ``efficiency`` is their ratio (EE, or EE_Full), ``spiking_efficiency`` that of the layers alone whose input is spikes (EE_Conv of
    the paper's hybrids). None: no such layer, or no spike at all.
    """

    table: EnergyTable
    estimated_ann_pj: float
    estimated_snn_pj: float
    efficiency: float | None
    spiking_efficiency: float | None
