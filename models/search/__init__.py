"""Search for the operators of PAIF's cells, with the latency that a machine measured."""
