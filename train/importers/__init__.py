"""Networks that were trained elsewhere as float networks: live modules of snnTorch and SpikingJelly, and NIR graphs."""
