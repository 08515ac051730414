"""Ids -> vectors: dynamic tables, local (torch alone) and sharded (TorchRec).

Keys and vectors are stored apart: an id map gives every id a slot, and growing it moves no vector.
A vector is an initial vector, a function of (table seed, id) alone, plus what was learned; the
learned part starts at zero. So nothing depends on which rank, or in which order, met an id.
"""
