//! Worlds, data sets, interventions, tokenising and batches
