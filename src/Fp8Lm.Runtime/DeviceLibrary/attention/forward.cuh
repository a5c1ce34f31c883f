#pragma once
#include <fp8lm/attention/forward_warp.cuh>
#include <fp8lm/attention/forward_warpgroup.cuh>

namespace fp8lm::attention {

template <class S> using Forward = Either<kIsWarpgroupShape<S>, WarpgroupForward<S>, WarpForward<S>>;

}  // namespace fp8lm::attention
