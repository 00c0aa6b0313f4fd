//! Content-addressed, write-once artifacts with recipes, manifests and refs
