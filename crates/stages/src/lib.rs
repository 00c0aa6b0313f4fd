//! The stage binaries and what they share
