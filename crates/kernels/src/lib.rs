//! Fused forward and backward operations on flat f32 buffers, and the same as candle operations
