#pragma once
#include <fp8lm/common/begin_grid.cuh>
#include <fp8lm/common/types.cuh>

// What the host must know to launch a kernel, said once, here on the device side: the launcher reads fp8lm_launch from the loaded module.
namespace fp8lm {

// Base of the structs given to FP8LM_LAUNCH. Tile extents are rows and columns of one block's share of a matrix; 0 where a kind has none.
// kBlocks is the number of blocks where the result depends on it; 0 leaves it to the launcher. kLeastBlocks of a library kernel fit on a multiprocessor at a
// time: a bound for its registers.
template <int kBlockThreads, int kRowsOfTile = 0, int kColumnsOfTile = 0, int kFixedBlocks = 0, int kBlocksAtATime = 1> struct Launch
{
    static constexpr int kThreads = kBlockThreads;
    static constexpr int kSharedBytes = 0;
    static constexpr int kTileM = kRowsOfTile;
    static constexpr int kTileN = kColumnsOfTile;
    static constexpr int kBlocks = kFixedBlocks;
    static constexpr int kLeastBlocks = kBlocksAtATime;
};

// Adjacent blocks that make a cluster of a kernel whose text does not say so: kSplit of structs that have one.
template <class...> using Nothing = void;
template <class Kernel, class = void> constexpr int kLaunchedCluster = 1;
template <class Kernel> constexpr int kLaunchedCluster<Kernel, Nothing<decltype(Kernel::kSplit)>> = Kernel::kSplit;

// Filled by cuTensorMapEncodeTiled; passed by value as a __grid_constant__ parameter.
struct alignas(64) TensorMap { u64 words[16]; };

}  // namespace fp8lm

#define FP8LM_LAUNCH(...)                                                                                                              \
    extern "C" __device__ const unsigned fp8lm_launch[6] = {                                                                           \
        __VA_ARGS__::kThreads, __VA_ARGS__::kSharedBytes, __VA_ARGS__::kTileM, __VA_ARGS__::kTileN, __VA_ARGS__::kBlocks,              \
        fp8lm::kLaunchedCluster<__VA_ARGS__>}
