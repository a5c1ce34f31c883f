#pragma once
#include <fp8lm/attention/backward_query_warp.cuh>
#include <fp8lm/attention/backward_query_warpgroup.cuh>

namespace fp8lm::attention {

template <class S> using BackwardQuery = Either<kIsWarpgroupShape<S>, WarpgroupBackwardQuery<S>, WarpBackwardQuery<S>>;

}  // namespace fp8lm::attention
