//! Barriers, agreement and seed-level statistics: numbers to numbers
