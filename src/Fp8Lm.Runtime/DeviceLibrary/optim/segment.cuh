#pragma once
#include <fp8lm/common/common.cuh>

namespace fp8lm::optim {

// One parameter instance in the arenas of the optimizer; the same layout as Fp8Lm.Execution.StateSegment. Places are bytes from the start of
// each arena; elements count the zeros up to the next multiple of 64, so that octets are always whole.
struct Segment
{
    static constexpr u32 kDecays = 1, kLinear = 2;

    i64 master;
    i64 gradient;
    i64 first;
    i64 second;
    i64 first_tile;
    i64 elements;
    int weight_slot;
    u32 flags;
    i64 reserved;
};

constexpr int kSegmentTile = 2048;

// Rows of the tables of scales, reciprocals and amax: [4, segments].
enum StateRow { kGradientRow, kMasterRow, kFirstRow, kSecondRow };

// The segment that a tile lies in.
__device__ inline int find_segment(const Segment* segments, i64 count, i64 tile)
{
    int low = 0, high = (int)count - 1;
    while (low < high)
    {
        const int middle = (low + high + 1) / 2;
        if (segments[middle].first_tile <= tile)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

template <class T> __device__ T* at(void* arena, i64 bytes) { return reinterpret_cast<T*>(static_cast<u8*>(arena) + bytes); }
template <class T> __device__ const T* at(const void* arena, i64 bytes) { return reinterpret_cast<const T*>(static_cast<const u8*>(arena) + bytes); }

}  // namespace fp8lm::optim
