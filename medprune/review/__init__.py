"""What a smaller model does to patients, held against the model it came from: figures with their intervals.

Everything here takes outcomes and risks of the same patients, never a model: who computed the risks, and
whether they were recalibrated, is for the caller to say.
"""
