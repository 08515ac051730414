"""The lab: what a model brings, what of it brings it, and what more compute would bring.

    logs x models -> trials on validation days -> chosen settings -> seeds on test days -> tables

Every training goes through the trainer, and every comparison is paired: the same users drawn, the
same seeds.
"""
