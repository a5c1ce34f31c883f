#pragma once
#include <fp8lm/gemm/simt.cuh>
#include <fp8lm/gemm/tensor_core.cuh>
