"""The benchmark: pruned against dense on real patients, printed as it comes out, won or lost.

``python -m tests.bench`` (``make bench``) compares, over seeds, every criterion in rounds and in one
shot with the dense network and with an L1 logistic regression, on locked test patients, and measures
what the parts of the job cost. Nothing is asserted.
"""
