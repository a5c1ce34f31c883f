#pragma once
#include <fp8lm/common/common.cuh>
#include <fp8lm/row/frame.cuh>
#include <fp8lm/row/pack.cuh>
#include <fp8lm/row/pairs.cuh>
#include <fp8lm/row/softmax.cuh>
#include <fp8lm/row/stage.cuh>
