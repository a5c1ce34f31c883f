#pragma once
#include <fp8lm/common/launch.cuh>
#include <fp8lm/common/math.cuh>
#include <fp8lm/common/memory.cuh>
#include <fp8lm/common/random.cuh>
#include <fp8lm/common/step_state.cuh>
#include <fp8lm/common/types.cuh>
