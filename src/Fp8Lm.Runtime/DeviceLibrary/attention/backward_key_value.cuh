#pragma once
#include <fp8lm/attention/backward_key_value_warp.cuh>
#include <fp8lm/attention/backward_key_value_warpgroup.cuh>

namespace fp8lm::attention {

template <class S> using BackwardKeyValue = Either<kIsWarpgroupShape<S>, WarpgroupBackwardKeyValue<S>, WarpBackwardKeyValue<S>>;

}  // namespace fp8lm::attention
