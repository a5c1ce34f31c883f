#pragma once
#include <fp8lm/attention/backward_key_value.cuh>
#include <fp8lm/attention/backward_query.cuh>
#include <fp8lm/attention/forward.cuh>
