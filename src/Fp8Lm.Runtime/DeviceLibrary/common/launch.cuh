#pragma once
#include <fp8lm/common/types.cuh>

// What the host must know to launch a kernel, said once, here on the device side: the launcher reads fp8lm_launch from the loaded module.
namespace fp8lm {

// Base of the structs given to FP8LM_LAUNCH. Tile extents are rows and columns of one block's share of the work; 0 where a kind has none.
template <int kBlockThreads, int kDynamicSharedBytes = 0, int kRowsOfTile = 0, int kColumnsOfTile = 0>
struct Launch
{
    static constexpr int kThreads = kBlockThreads;
    static constexpr int kSharedBytes = kDynamicSharedBytes;
    static constexpr int kTileM = kRowsOfTile;
    static constexpr int kTileN = kColumnsOfTile;
};

// Filled by cuTensorMapEncodeTiled; passed by value as a __grid_constant__ parameter.
struct alignas(64) TensorMap { u64 words[16]; };

}  // namespace fp8lm

#define FP8LM_LAUNCH(...)                                                                                                              \
    extern "C" __device__ const unsigned fp8lm_launch[4] = {                                                                           \
        __VA_ARGS__::kThreads, __VA_ARGS__::kSharedBytes, __VA_ARGS__::kTileM, __VA_ARGS__::kTileN}
