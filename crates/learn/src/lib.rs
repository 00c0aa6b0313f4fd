//! The training loop, optimiser, schedules and scoring
