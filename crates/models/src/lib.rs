//! Model families on fused kernels, with Hugging Face tensor names
