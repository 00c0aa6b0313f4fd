//! From manifests and the tables of single stages to the tables of a study.

pub(crate) mod rows;
