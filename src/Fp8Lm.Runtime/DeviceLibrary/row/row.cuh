#pragma once
#include <fp8lm/common/common.cuh>
#include <fp8lm/reduce/amax.cuh>
#include <fp8lm/reduce/warp.cuh>
#include <fp8lm/row/slab.cuh>
#include <fp8lm/row/softmax.cuh>
