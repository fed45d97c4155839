"""The mathematics: arrays in, arrays out. Nothing here knows a model, a trainer or a dataset."""
